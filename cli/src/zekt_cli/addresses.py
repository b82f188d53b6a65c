"""Where the services of a suite answer: all at one URL, or some of them at one of their own."""

from collections.abc import Mapping, Sequence
from typing import Final

from zekt_cli.exits import CommandFailed, Exit

SERVICES: Final = ("ingress", "identity", "router", "dispatcher")

_OPERATIONS: Final = "/api/operations/"
_SERVED_BY: Final = {
    "/api/catalog": "router",
    "/api/runs/": "router",
    "/api/deliveries": "dispatcher",
    "/api/replay/": "dispatcher",
    "/api/account": "identity",
    "/auth/": "identity",
}


def read_urls(given: Sequence[str]) -> tuple[str | None, Mapping[str, str]]:
    """Return the suite's URL, None if there is none among those given, and those that are of one service alone.

    Raises:
        CommandFailed: 2 when two of them are for the same.
    """
    suite: list[str] = []
    services: dict[str, str] = {}
    for each in given:
        name, _, url = each.partition("=")
        if name not in SERVICES or not url:
            suite.append(each.rstrip("/"))
        elif services.setdefault(name, url.rstrip("/")) != url.rstrip("/"):
            raise CommandFailed(Exit.USAGE, f"{name} has two URLs")
    if len(suite) > 1:
        expected = f"all but one of them need a service's name: {SERVICES[0]}=URL"
        raise CommandFailed(Exit.USAGE, f"the suite has several URLs ({', '.join(suite)}); {expected}")
    return (suite[0] if suite else None), services


def service_of(path: str) -> str | None:
    """Return the service that serves the path, None for what every service does."""
    if path.startswith(_OPERATIONS):
        return path.removeprefix(_OPERATIONS).partition("/")[0]
    return next((service for start, service in _SERVED_BY.items() if path.startswith(start)), None)
