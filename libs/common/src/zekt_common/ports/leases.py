"""The port of the leases: one holder at a time for work that gains nothing from being done twice.

Leases save effort; correctness never rests on them, since every write decides by stream version.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Leases(Protocol):
    """Named leases. A dead holder's lease passes on by itself."""

    def hold(self, name: str, /) -> AbstractAsyncContextManager[None]:
        """Wait until the lease is ours, keep it while the block runs, and give it back."""
        ...
