"""Applying a catalog to a running suite over its operators' routes."""

import time
from typing import Any, Final

import msgspec

from zekt_cli.catalog.file import CatalogFile, invalid
from zekt_cli.catalog.shape import place
from zekt_cli.client import Answer, HttpClient, refused
from zekt_cli.exits import CommandFailed, Exit

_FAILED_FROM: Final = 400
_LONGEST_WAIT_S: Final = 60.0
_WAITED_AT_ONCE: Final = 5_000
_SIGNS: Final = {"create": "+", "update": "~", "remove": "-"}


class Change(msgspec.Struct, frozen=True):
    """What applying does to one entity."""

    kind: str
    name: str
    action: str
    fields: list[str] = []

    @property
    def sign(self) -> str:
        """The action as a diff shows it."""
        return _SIGNS.get(self.action, " ")


class Applied(msgspec.Struct, frozen=True):
    """The router's answer: every entity of the file, and the ids of the events that changed them."""

    changes: list[Change]
    positions: list[str] = []

    @property
    def changed(self) -> list[Change]:
        """The entities that are not as they were."""
        return [change for change in self.changes if change.action != "unchanged"]


def apply_catalog(
    client: HttpClient, catalog: CatalogFile, *, dry_run: bool = False, prune: bool = False, timeout_s: float = 30.0
) -> Applied:
    """Apply the file and return what changed.

    Raises:
        CommandFailed: 2 when the suite finds the file wrong, naming lines; others as `HttpClient.call`.
    """
    body = {**catalog.content, "dryRun": dry_run, "prune": prune}
    answer = client.request("POST", "/api/catalog/apply", body=body, timeout_s=timeout_s)
    if answer.status >= _FAILED_FROM:
        raise _failure(catalog, answer)
    return msgspec.convert(answer.body, Applied)


def await_seen(client: HttpClient, positions: list[str], timeout_s: float) -> None:
    """Wait until the services that look the catalog up have seen these events.

    Raises:
        CommandFailed: 4 when they have not within `timeout_s`; what was changed stays changed.
    """
    deadline = time.monotonic() + timeout_s
    for start in range(0, len(positions), _WAITED_AT_ONCE):
        left_s = max(0.0, deadline - time.monotonic())
        _wait(client, positions[start : start + _WAITED_AT_ONCE], left_s)


def _wait(client: HttpClient, positions: list[str], timeout_s: float) -> None:
    """Ask again while there is time left, since one request waits for a minute at most."""
    while True:
        asked_s = min(timeout_s, _LONGEST_WAIT_S)
        body = {"eventIds": positions, "timeoutS": asked_s}
        answer = client.request("POST", "/api/operations/ingress/wait", body=body, timeout_s=asked_s + 5.0)
        if answer.status < _FAILED_FROM:
            return
        timeout_s -= asked_s
        failure = refused(answer)
        if failure.code is not Exit.TIMED_OUT or timeout_s <= 0:
            raise CommandFailed(failure.code, f"the catalog is changed, but not every service has seen it: {failure}")


def _failure(catalog: CatalogFile, answer: Answer) -> CommandFailed:
    """Return the suite's problems at their lines of the file, or its refusal as it stands."""
    found = answer.body.get("problems") if isinstance(answer.body, dict) else None
    if not found:
        return refused(answer)
    problems = [place(catalog.document, _steps(one["path"])).problem(one["detail"]) for one in found]
    return invalid(catalog.path, problems)


def _steps(path: Any) -> list[str | int]:
    """Return a path like `services[0].schema` as its steps."""
    parts = str(path).replace("[", ".").replace("]", "").split(".")
    return [part for part in parts if part]
