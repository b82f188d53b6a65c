"""Faults to order: what goes wrong, on which requests, how many times."""

import fnmatch
import itertools
from dataclasses import asdict, dataclass, fields
from typing import Any

from zekt_sandbox.github.errors import InvalidControlError

KINDS = frozenset({"error", "error_after", "secondary", "slow", "drop_before", "drop_after"})


@dataclass(slots=True)
class Fault:
    """One switch: `count` None stays on, `path` is a glob over the request's path."""

    kind: str
    method: str = "*"
    path: str = "*"
    count: int | None = 1
    status: int | None = None
    retry_after_s: int = 1
    delay_s: float = 0.0
    id: int = 0
    taken: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault is still on and meant for this request."""
        if self.count is not None and self.taken >= self.count:
            return False
        return self.method in ("*", method) and fnmatch.fnmatchcase(path.lower(), self.path.lower())

    def view(self) -> dict[str, Any]:
        """The fault as the control API shows it."""
        return asdict(self)


class Faults:
    """The switches that are on, oldest first; the first that matches is used."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, kind: str, **options: Any) -> Fault:
        """Switch a fault on.

        Raises:
            InvalidControlError: the kind or an option is unknown.
        """
        known = {field.name for field in fields(Fault)} - {"id", "taken", "kind"}
        if kind not in KINDS or options.keys() - known:
            raise InvalidControlError(f"a fault has kind {sorted(KINDS)} and options {sorted(known)}")
        fault = Fault(kind, **options, id=next(self._ids))
        self.active.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault to apply to this request, used up by one."""
        if not self.active:
            return None
        fault = next((found for found in self.active if found.matches(method, path)), None)
        if fault is not None:
            fault.taken += 1
        return fault

    def clear(self) -> None:
        """Switch all faults off."""
        self.active.clear()
