"""Stand-ins for the outside world on 127.0.0.1, for tests and local trials."""
