"""The port of the views: documents by (partition, id), listed in order within a partition."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

ANY = ""
ABSENT = "absent"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document with the ETag of its present revision; `body` is JSON."""

    partition: str
    id: str
    etag: str
    body: bytes


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """Write a document: whatever is there (ANY), only if nothing is there (ABSENT), or only over this ETag.

    With `ttl_s` it expires so long after this write: it is found no more, and deleted by and by.
    """

    partition: str
    id: str
    body: bytes
    if_match: str = ANY
    ttl_s: int | None = None


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a document if it is there (ANY), or only at this ETag."""

    partition: str
    id: str
    if_match: str = ANY


class Views(Protocol):
    """Read models and small coordination documents (checkpoints, leases)."""

    async def get(self, partition: str, id_: str, /) -> Document | None:
        """Return the document, or None."""
        ...

    async def listing(
        self, partition: str, /, *, after: str = "", limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Return documents of the partition in order of id, those after `after` (before it, when descending)."""
        ...

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        """Apply all changes or none; return the new ETags ("" for a removal).

        What is not `durable` may be undone by the loss of power, but never before a write that followed it: enough for
        what is made from the store beside it, together with its checkpoint.

        Changes with a condition have to lie in one partition. A write over several partitions comes to hold at once,
        but an engine may show some partitions before others; without any condition, a crash may leave part of it.

        Raises:
            DocumentConflict: a document is not at the ETag that its change asks for; over a network also where the
                write took place, its answer was lost, and others have written since.
        """
        ...
