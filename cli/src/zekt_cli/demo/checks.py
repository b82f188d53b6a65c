"""What the demo verifies: each check has a name, and the first that fails ends it."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
POLL_S = 0.03
PATIENCE_S = 60.0
"""How long what must happen may take on a busy machine: the demo shows that it happens; how fast, the trace tells."""


class CheckFailed(Exception):
    """Something was not as it must be; the message names the check and says what was found."""


class Checks:
    """Counts what held."""

    def __init__(self) -> None:
        self.passed = 0

    def that(self, name: str, holds: object, found: object = "") -> None:
        """Note that the check holds.

        Raises:
            CheckFailed: it does not.
        """
        if not holds:
            raise CheckFailed(f"{name}{f' (found: {found})' if found != '' else ''}")
        self.passed += 1

    def eventually(self, name: str, look: Callable[[], Result | None], within_s: float = PATIENCE_S) -> Result:
        """Return what `look` finds once it finds something.

        Raises:
            CheckFailed: it has not within the time.
        """
        deadline = time.monotonic() + within_s
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise CheckFailed(f"{name} (not within {within_s:g} s)")
            time.sleep(POLL_S)
        self.passed += 1
        return found
