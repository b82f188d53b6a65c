"""The zekt command: run, feed, watch and diagnose a suite."""

from importlib.metadata import version

__version__ = version("zekt-cli")
