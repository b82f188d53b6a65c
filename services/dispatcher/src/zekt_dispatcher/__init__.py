"""Zekt's deliveries: repository_dispatch, retried and tracked to its end."""
