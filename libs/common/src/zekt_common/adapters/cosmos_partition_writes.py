"""Writes within one partition of the views: one batch, all or none, whoever's answer was lost on the way."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from zekt_common.adapters.cosmos_container import CosmosContainer, Item, Operation
from zekt_common.adapters.cosmos_documents import WRITE, Change, item_of, operation_of
from zekt_common.adapters.cosmos_errors import CHANGED, EXISTS, FOUND_NOT, CosmosRefused
from zekt_common.adapters.cosmos_ids import encode_id
from zekt_common.errors import DocumentConflict
from zekt_common.ports.views import ABSENT, ANY, Put, Remove

LARGEST_BATCH: Final = 100
LARGEST_BYTES: Final = 1_000_000
_PRESENT: Final = "SELECT VALUE c.id FROM c WHERE c.id IN (@ids)"
_CONFLICTS: Final = (FOUND_NOT, EXISTS, CHANGED)


def fits_a_batch(changes: Sequence[Change], *, beside: int = 0) -> bool:
    """Tell whether a batch takes these changes and so many other operations."""
    return len(changes) + beside <= LARGEST_BATCH and size_bytes(changes) <= LARGEST_BYTES


def size_bytes(changes: Sequence[Change]) -> int:
    """Return how large the bodies are together; their places add little."""
    return sum(len(change.body) for change in changes if isinstance(change, Put))


class PartitionWrites:
    """Every item carries the id of the write that left it, by which a writer whose answer was lost knows its own."""

    def __init__(self, container: CosmosContainer) -> None:
        self._container = container

    async def write(self, changes: Sequence[Change], marks: Mapping[str, Any]) -> dict[str, str]:
        """Apply the changes, all to one partition, and return the new ETags by document id.

        Raises:
            DocumentConflict: a document is not at the ETag that its change asks for.
        """
        write_id = secrets.token_hex(8)
        marks = {**marks, WRITE: write_id}
        try:
            if len(changes) == 1:
                return await self._write_one(changes[0], marks)
            return await self.batch(changes, marks)
        except CosmosRefused as refused:
            if refused.status not in _CONFLICTS:
                raise
            return await self._etags_if_ours(changes, write_id)

    async def batch(self, changes: Sequence[Change], marks: Mapping[str, Any], *beside: Operation) -> dict[str, str]:
        """Apply the changes after the operations `beside`, all or none, and return the new ETags by document id.

        Raises:
            CosmosRefused: a condition does not hold.
        """
        partition = changes[0].partition
        changes = await self._without_absent(changes)
        while operations := [*beside, *(operation_of(change, marks) for change in changes)]:
            try:
                answers = await self._container.batch(partition, operations)
            except CosmosRefused as refused:
                wanted, changes = changes, await self._without_absent(changes)
                if refused.status != FOUND_NOT or len(changes) == len(wanted):
                    raise
            else:
                etags = (answer.get("eTag", "") for answer in answers[len(beside) :])
                return {change.id: _new_etag(change, etag) for change, etag in zip(changes, etags, strict=True)}
        return {}

    async def etags(self, changes: Sequence[Change]) -> dict[str, str]:
        """Return the present ETags of the documents that `changes` put, by document id."""
        puts = [change for change in changes if isinstance(change, Put)]
        items = await self._read_all(puts)
        return {put.id: item["_etag"] if item else "" for put, item in zip(puts, items, strict=True)}

    async def _write_one(self, change: Change, marks: Mapping[str, Any]) -> dict[str, str]:
        partition, id_, etag = change.partition, encode_id(change.id), change.if_match
        if isinstance(change, Remove):
            if etag == ANY:
                await self._container.discard(partition, id_)
            else:
                await self._container.delete(partition, id_, etag)
            return {}
        item = item_of(change, marks)
        if etag == ANY:
            written = await self._container.upsert(item)
        elif etag == ABSENT:
            written = await self._container.create(item)
        else:
            written = await self._container.replace(item, etag)
        return {change.id: written["_etag"]}

    async def _without_absent(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return the changes without removals of what is not there, which would have the whole batch refused."""
        removed = [encode_id(each.id) for each in changes if _removes_if_there(each)]
        if not removed:
            return changes
        parameters = {f"@{number}": id_ for number, id_ in enumerate(removed)}
        query = _PRESENT.replace("@ids", ", ".join(parameters))
        present = set(await self._container.query(changes[0].partition, query, parameters))
        return [each for each in changes if encode_id(each.id) in present or not _removes_if_there(each)]

    async def _etags_if_ours(self, changes: Sequence[Change], write_id: str) -> dict[str, str]:
        """Return the ETags if the documents are as this very write left them, its answer having been lost.

        Raises:
            DocumentConflict: somebody else has written.
        """
        puts = [change for change in changes if isinstance(change, Put)]
        items = await self._read_all(puts)
        if not any(item is not None and item.get(WRITE) == write_id for item in items):
            places = ", ".join(f"{change.partition}/{change.id}" for change in changes if change.if_match != ANY)
            raise DocumentConflict(f"not at the expected revision: {places}")
        return {put.id: item["_etag"] if item else "" for put, item in zip(puts, items, strict=True)}

    async def _read_all(self, changes: Sequence[Change]) -> list[Item | None]:
        return await asyncio.gather(*(self._container.read(each.partition, encode_id(each.id)) for each in changes))


def _removes_if_there(change: Change) -> bool:
    return isinstance(change, Remove) and change.if_match == ANY


def _new_etag(change: Change, etag: str) -> str:
    return etag if isinstance(change, Put) else ""
