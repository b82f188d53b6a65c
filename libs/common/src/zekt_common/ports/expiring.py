"""The port of whatever keeps things for a time and has to be told to delete them."""

from typing import Protocol


class Expiring(Protocol):
    """A store of things that expire; `Payloads` is one."""

    async def purge(self) -> int:
        """Delete what has expired and return how many things that was."""
        ...
