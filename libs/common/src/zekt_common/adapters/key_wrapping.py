"""How data keys rest: wrapped under one generation of the master key, and bound to their account."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from zekt_common.errors import StorageUnusable

KEY_BYTES: Final = 32


class WrongMasterKey(StorageUnusable):
    """The key is wrapped under a generation that the master key does not have, or for another account."""


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as stored; one that was destroyed leaves its record behind, with an empty id.

    `generation` is the master key's, empty where it was stored before there were several; `revision` is the record's,
    where the store keeps one.
    """

    account_id: int
    key_id: str
    wrapped: bytes
    generation: str = ""
    revision: str = ""

    @property
    def is_destroyed(self) -> bool:
        """Whether nothing is left of it."""
        return not self.key_id

    @property
    def binding(self) -> bytes:
        """What the wrapping vouches for beside the key: whose it is."""
        return f"zekt data key {self.account_id} {self.key_id}".encode()


class Generation(msgspec.Struct, frozen=True):
    """One of the master key's generations; nothing was wrapped under it before `since`."""

    name: str
    since: datetime


class MasterKey(Protocol):
    """The key that wraps data keys: the newest of its generations wraps, every one of them unwraps."""

    async def wrap(self, secret: bytes, binding: bytes, /) -> tuple[str, bytes]:
        """Return the newest generation's name and `secret`, wrapped under it and bound to `binding`.

        Raises:
            StorageUnusable: the master key cannot be used; the message says where it is.
        """
        ...

    async def unwrap(self, generation: str, wrapped: bytes, binding: bytes, /) -> bytes:
        """Return what was wrapped; an empty generation stands for any.

        Raises:
            WrongMasterKey: it was wrapped under no generation that there is, or with another binding.
            StorageUnusable: the master key cannot be used; the message says where it is.
        """
        ...

    async def check(self) -> None:
        """Pass if the master key can be used.

        Raises:
            StorageUnusable: it cannot; the message says why.
        """
        ...

    async def generations(self) -> Sequence[Generation]:
        """Return those that unwrap, oldest first; the last one wraps."""
        ...

    async def renew(self) -> None:
        """Add a generation, which wraps from now on; others who use the master key notice by themselves."""
        ...

    async def retire(self, names: Collection[str], /) -> None:
        """Drop these generations: what is wrapped under them is lost."""
        ...


class KeyRecords(Protocol):
    """Where wrapped keys are stored, one record for each account."""

    @property
    def place(self) -> str:
        """What errors call it."""
        ...

    async def find(self, account_id: int, /) -> WrappedKey | None:
        """Return the account's record, or None where there never was one."""
        ...

    async def add(self, record: WrappedKey, /) -> WrappedKey:
        """Store the record unless the account has one, and return the one that holds: the first to come wins."""
        ...

    async def replace(self, known: WrappedKey, record: WrappedKey, /) -> bool:
        """Store `record` in place of `known`; False, and nothing stored, where that is not what is there any more."""
        ...

    async def destroy(self, account_id: int, /) -> None:
        """Overwrite the account's key with nothing, or see to it that there will never be one."""
        ...

    def under_others(self, generation: str, /) -> AsyncIterator[WrappedKey]:
        """Yield the records wrapped under any other generation than this, destroyed keys left out."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """Return how many keys are wrapped under each generation."""
        ...

    async def forget_replaced(self) -> None:
        """Leave no trace of what was replaced or destroyed, as far as that is up to us."""
        ...
