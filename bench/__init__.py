"""Benchmarks: what was measured, how, and side by side with what."""
