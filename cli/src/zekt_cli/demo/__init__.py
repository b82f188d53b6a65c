"""The demo: the main job on real input, told in a few steps, each verified."""
