"""The port of the data keys: one per account, wrapped by a master key; destroying one erases what it protects."""

from typing import Protocol

import msgspec


class DataKey(msgspec.Struct, frozen=True):
    """A 256-bit key; its repr shows the id alone."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"DataKey(id={self.id!r})"


class Keys(Protocol):
    """The only place where data keys live."""

    async def data_key(self, account_id: int, /) -> DataKey:
        """Return the account's data key, making it on first use.

        Raises:
            KeyDestroyed: the account's key was destroyed.
        """
        ...

    async def destroy(self, account_id: int, /) -> None:
        """Destroy the account's data key, in the file, its log and its freed pages too; a repeat changes nothing."""
        ...
