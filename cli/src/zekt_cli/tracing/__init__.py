"""One event's way through the suite, put together from what the services have stored."""
