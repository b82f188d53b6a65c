"""Zekt's catalog, run correlation, policy and routing."""
