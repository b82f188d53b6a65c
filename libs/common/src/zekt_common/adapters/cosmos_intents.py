"""Writes over several partitions, which no transaction of Cosmos DB spans: written down first, then carried out.

What is to be done is stored as an intent. The documents with a condition, all in one partition, are then written with
a reference to it: from that moment the whole write holds. Whoever reads one of them finishes what its writer may have
left undone. Every batch leaves a trace under the intent's id in its partition, so that no batch is carried out twice: a
writer that was held up cannot undo what others wrote after it.
"""

import asyncio
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_documents import INTENT, Change
from zekt_common.adapters.cosmos_errors import EXISTS, CosmosRefused
from zekt_common.adapters.cosmos_partition_writes import LARGEST_BYTES, PartitionWrites, fits_a_batch, size_bytes
from zekt_common.ports.views import Put, Remove

AT_ONCE: Final = 16
REMEMBERED: Final = 10_000
KEPT_S: Final = 30 * 86_400
TRACE_KEPT_S: Final = 86_400

Batch = Sequence[Change]


class Intent(msgspec.Struct, frozen=True):
    """A stored intent: its id, the partition where its pages lie, and the batches on each page."""

    id: str
    partition: str
    pages: Sequence[Sequence[Batch]]

    @property
    def marks(self) -> Mapping[str, Any]:
        """What a document says of the intent that it was written with."""
        return {INTENT: {"id": self.id, "pages": len(self.pages)}}


class Intents:
    """Stores intents, carries them out, and finishes those of others."""

    def __init__(self, container: CosmosContainer, writes: PartitionWrites) -> None:
        self._container = container
        self._writes = writes
        self._finished: OrderedDict[str, None] = OrderedDict()

    async def note(self, partition: str, changes: Sequence[Change]) -> Intent:
        """Store what is to be done; nothing holds yet."""
        intent = Intent(secrets.token_hex(8), partition, list(_pages(_batches(changes))))
        for number, page in enumerate(intent.pages):
            place = {"id": _page_id(intent.id, number), "partition": partition, "ttl": KEPT_S}
            await self._container.upsert({**place, "batches": [[_packed(each) for each in batch] for batch in page]})
        return intent

    async def forget(self, intent: Intent) -> None:
        """Delete the intent, which never came to hold or has been carried out."""
        for number in range(len(intent.pages)):
            await self._container.discard(intent.partition, _page_id(intent.id, number))

    async def carry_out(self, intent: Intent) -> dict[tuple[str, str], str]:
        """Apply every batch that nobody has applied yet; return the new ETags by partition and document id."""
        limit = asyncio.Semaphore(AT_ONCE)
        batches = [batch for page in intent.pages for batch in page]
        applying = (self._apply(f"!-did-{intent.id}-{n}", batch, limit) for n, batch in enumerate(batches))
        etags = dict(each for found in await asyncio.gather(*applying) for each in found.items())
        await self.forget(intent)
        self._remember(intent.id)
        return etags

    async def finish(self, partition: str, mark: Mapping[str, Any]) -> None:
        """Do what is left to do of the intent that a document refers to."""
        if mark["id"] in self._finished:
            return
        reading = (self._container.read(partition, _page_id(mark["id"], number)) for number in range(mark["pages"]))
        items = [item for item in await asyncio.gather(*reading) if item is not None]
        if len(items) == mark["pages"]:  # pages go only when all is done
            pages = [[[_unpacked(each) for each in batch] for batch in item["batches"]] for item in items]
            await self.carry_out(Intent(mark["id"], partition, pages))
        self._remember(mark["id"])

    async def _apply(self, trace_id: str, batch: Batch, limit: asyncio.Semaphore) -> dict[tuple[str, str], str]:
        partition = batch[0].partition
        trace = {"id": trace_id, "partition": partition, "ttl": TRACE_KEPT_S}
        async with limit:
            try:
                etags = await self._writes.batch(batch, {}, ("create", (trace,), {}))
            except CosmosRefused as refused:
                if refused.status != EXISTS:
                    raise
                etags = await self._writes.etags(batch)
        return {(partition, id_): etag for id_, etag in etags.items()}

    def _remember(self, intent_id: str) -> None:
        self._finished[intent_id] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)


def _batches(changes: Sequence[Change]) -> Iterator[Batch]:
    """Part the changes by partition, and again where one batch would not take them."""
    by_partition: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        batch = by_partition[change.partition]
        if batch and not fits_a_batch([*batch, change], beside=1):
            yield by_partition.pop(change.partition)
            batch = by_partition[change.partition]
        batch.append(change)
    yield from by_partition.values()


def _pages(batches: Iterator[Batch]) -> Iterator[Sequence[Batch]]:
    """Part the batches so that an item holds each page."""
    page: list[Batch] = []
    for batch in batches:
        if sum(map(size_bytes, [*page, batch])) > LARGEST_BYTES and page:
            yield page
            page = []
        page.append(batch)
    if page:
        yield page


def _page_id(intent_id: str, number: int) -> str:
    return f"!-do-{intent_id}-{number}"


def _packed(change: Change) -> list[Any]:
    if isinstance(change, Remove):
        return [change.partition, change.id]
    return [change.partition, change.id, change.body.decode(), change.ttl_s]


def _unpacked(packed: Sequence[Any]) -> Change:
    if len(packed) == 2:  # noqa: PLR2004 - as packed above
        return Remove(partition=packed[0], id=packed[1])
    partition, id_, body, ttl_s = packed
    return Put(partition=partition, id=id_, body=body.encode(), ttl_s=ttl_s)
