"""How long these tests wait for what must happen, however busy the machine is."""

from typing import Final

PATIENCE_S: Final = 60.0
"""No measure of speed: what never happens is told after it, instead of by the time limit of all tests."""
