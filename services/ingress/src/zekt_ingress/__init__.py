"""Zekt's machine-facing write door: webhooks and messages, persisted before anything else."""
