"""Logs, traces and metrics: cheap when nobody collects them, standard when somebody does."""
