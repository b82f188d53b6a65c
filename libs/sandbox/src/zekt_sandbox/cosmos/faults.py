"""Faults to order: what goes wrong, on which calls, how many times or how likely, and for how long."""

import itertools
import random
import time
from dataclasses import dataclass, field, fields
from typing import Any

from zekt_sandbox.cosmos.calls import Call, Operation
from zekt_sandbox.cosmos.errors import InvalidControlError

KINDS = frozenset({"drop_before", "drop_after", "error", "error_after", "slow"})
WRITES = frozenset(
    {Operation.CREATE, Operation.UPSERT, Operation.REPLACE, Operation.PATCH, Operation.DELETE, Operation.BATCH}
)
_TARGETS = frozenset({"*", "writes", *Operation})
_THROTTLED, _THROTTLED_SUBSTATUS = 429, 3200


@dataclass(slots=True)
class Fault:
    """One switch: `count` None stays on; `operation` is one of `Operation`, `writes` or `*`."""

    kind: str
    operation: str = "*"
    container: str = "*"
    count: int | None = 1
    probability: float = 1.0
    seed: int = 0
    status: int = 503
    substatus: int | None = None
    retry_after_ms: int | None = None
    delay_s: float = 0.0
    id: int = 0
    taken: int = 0
    _random: random.Random = field(default_factory=random.Random, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random.seed(self.seed)
        if self.status == _THROTTLED and self.substatus is None:
            self.substatus = _THROTTLED_SUBSTATUS

    def strikes(self, call: Call) -> bool:
        """Whether the fault is still on, meant for this call, and luck has it."""
        if self.count is not None and self.taken >= self.count:
            return False
        if not self._is_aimed_at(call):
            return False
        return self.probability >= 1 or self._random.random() < self.probability

    def view(self) -> dict[str, Any]:
        """The fault as the controls show it."""
        return {shown.name: getattr(self, shown.name) for shown in fields(self) if not shown.name.startswith("_")}

    def _is_aimed_at(self, call: Call) -> bool:
        if self.container not in ("*", call.container):
            return False
        return self.operation in ("*", call.operation) or (self.operation == "writes" and call.operation in WRITES)


class Faults:
    """The switches that are on, oldest first; the first that strikes is used."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)
        self._outage_until = 0.0

    def add(self, kind: str, **options: Any) -> Fault:
        """Switch a fault on.

        Raises:
            InvalidControlError: the kind, the operation or an option is unknown.
        """
        known = {option.name for option in fields(Fault)} - {"id", "taken", "kind", "_random"}
        if kind not in KINDS or options.keys() - known:
            raise InvalidControlError(f"a fault has kind {sorted(KINDS)} and options {sorted(known)}")
        fault = Fault(kind, **options, id=next(self._ids))
        if fault.operation not in _TARGETS:
            raise InvalidControlError(f"a fault is aimed at an operation of {sorted(_TARGETS)}")
        self.active.append(fault)
        return fault

    def take(self, call: Call) -> Fault | None:
        """The fault to apply to this call, used up by one."""
        for fault in self.active:
            if fault.strikes(call):
                fault.taken += 1
                return fault
        return None

    def clear(self) -> None:
        """Switch all faults off and end an outage."""
        self.active.clear()
        self._outage_until = 0.0

    def begin_outage(self, seconds: float) -> None:
        """Cut every connection without an answer, for so long by the machine's clock."""
        self._outage_until = time.monotonic() + seconds

    @property
    def is_out(self) -> bool:
        """Whether an outage goes on."""
        return time.monotonic() < self._outage_until
