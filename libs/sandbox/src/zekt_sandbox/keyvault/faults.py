"""Faults to order: what goes wrong, on which operations, how many times."""

from dataclasses import dataclass, fields
from typing import Any

from zekt_sandbox.keyvault.errors import InvalidControlError

KINDS = frozenset({"error", "drop_before", "drop_after", "slow"})
OPERATIONS = frozenset({"create", "get", "versions", "rotate", "update", "wrapkey", "unwrapkey"})


@dataclass(slots=True)
class Fault:
    """One switch: `count` None stays on; `operation` is one of `OPERATIONS`, or `*`."""

    kind: str
    operation: str = "*"
    count: int | None = 1
    status: int = 503
    retry_after_s: int | None = None
    delay_s: float = 0.0
    taken: int = 0

    def strikes(self, operation: str) -> bool:
        """Whether the fault is still on and meant for this operation."""
        return (self.count is None or self.taken < self.count) and self.operation in ("*", operation)


class Faults:
    """The switches that are on, oldest first; the first that strikes is used."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, kind: str, **options: Any) -> Fault:
        """Switch a fault on.

        Raises:
            InvalidControlError: the kind, the operation or an option is unknown.
        """
        known = {option.name for option in fields(Fault)} - {"kind", "taken"}
        if kind not in KINDS or options.keys() - known:
            raise InvalidControlError(f"a fault has kind {sorted(KINDS)} and options {sorted(known)}")
        fault = Fault(kind, **options)
        if fault.operation not in OPERATIONS | {"*"}:
            raise InvalidControlError(f"a fault is aimed at an operation of {sorted(OPERATIONS)}, or *")
        self.active.append(fault)
        return fault

    def take(self, operation: str) -> Fault | None:
        """Return the fault to apply to this call, used up by one."""
        for fault in self.active:
            if fault.strikes(operation):
                fault.taken += 1
                return fault
        return None

    def clear(self) -> None:
        """Switch all faults off."""
        self.active.clear()
