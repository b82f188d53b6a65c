"""Copying views as they are; what is about this very engine stays behind."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from zekt_cli.provision.schemas import PARTITION as SCHEMAS
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.adapters.cosmos_partition_writes import fits_a_batch
from zekt_common.adapters.sqlite_export import SqliteExport, StoredDocument
from zekt_common.kit.checkpoints import PARTITION as CHECKPOINTS
from zekt_common.ports import Put, Remove, Views

MARKS: Final = "copied"
LEFT_BEHIND: Final = frozenset({CHECKPOINTS, "leases", "readiness", "watermarks", MARKS})
"""Of one engine only. A watermark is heard anew: until then no correlation window closes."""

_KEPT_THERE: Final = frozenset({"leases", SCHEMAS, MARKS})
_MICROS: Final = 1_000_000
_AT_ONCE: Final = 16


async def copy_documents(service: str, source: SqliteExport, there: Views, target: CosmosImport, *, now: int) -> int:
    """Make the service's views there what they are here, remove what else is there, and return how many they are.

    `now` is in microseconds: what expires keeps the time that it has left.
    """
    known = await target.places(service)
    written: set[tuple[str, str]] = set()
    for group in _groups(_puts(source, service, now)):
        await asyncio.gather(*(there.write(batch) for batch in group))
        written.update((put.partition, put.id) for batch in group for put in batch)
    stale = sorted(place for place in known - written if place[0] not in _KEPT_THERE)
    for partition, id_ in stale:
        await there.write([Remove(partition=partition, id=id_)])
    return len(written)


def _puts(source: SqliteExport, service: str, now: int) -> Iterator[Put]:
    for document in source.documents(service, without=LEFT_BEHIND, now=now):
        yield Put(partition=document.partition, id=document.id, body=document.body, ttl_s=_ttl_s(document, now))


def _ttl_s(document: StoredDocument, now: int) -> int | None:
    return None if document.expires_at is None else -((now - document.expires_at) // _MICROS)


def _groups(puts: Iterator[Put]) -> Iterator[Sequence[Sequence[Put]]]:
    """Gather batches that can be written side by side."""
    group: list[Sequence[Put]] = []
    for batch in _batches(puts):
        group.append(batch)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    yield group


def _batches(puts: Iterator[Put]) -> Iterator[Sequence[Put]]:
    """Gather what lies in one partition, as far as one batch takes it."""
    batch: list[Put] = []
    for put in puts:
        if batch and (put.partition != batch[0].partition or not fits_a_batch([*batch, put])):
            yield batch
            batch = []
        batch.append(put)
    if batch:
        yield batch
