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
    """Write a document: whatever is there (ANY), only if nothing is there (ABSENT), or only over this ETag."""

    partition: str
    id: str
    body: bytes
    if_match: str = ANY


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

    async def write(self, changes: Sequence[Put | Remove], /) -> list[str]:
        """Apply all changes or none, durably; return the new ETags ("" for a removal).

        Raises:
            DocumentConflict: a document is not at the ETag that its change asks for.
        """
        ...
