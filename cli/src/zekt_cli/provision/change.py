"""What provisioning would do: changes that are planned before the first is made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

Make = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Change:
    """One thing to create (+), update (~) or remove (-), and how."""

    sign: Literal["+", "~", "-"]
    kind: str
    name: str
    make: Make

    def shown(self) -> dict[str, str]:
        """Return the change as JSON has it."""
        return {"sign": self.sign, "kind": self.kind, "name": self.name}
