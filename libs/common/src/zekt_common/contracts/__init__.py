"""The messages that services publish to each other: one module per publishing service, and the topology."""
