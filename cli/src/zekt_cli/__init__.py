"""The zekt command: run, feed, watch and diagnose a suite."""
