"""Writing to Cosmos DB what another engine holds, as it is: ids, versions, commit ids and times stay."""

from collections.abc import Iterator, Sequence
from typing import Final

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_container import CosmosContainer, Operation
from zekt_common.adapters.cosmos_errors import EXISTS, FOUND_NOT, TOO_LARGE, CosmosRefused
from zekt_common.adapters.cosmos_event_store import event_item, item_id
from zekt_common.adapters.cosmos_ids import BOUND, decode_id
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_late_commits import IMPORTED
from zekt_common.adapters.cosmos_topology import KEYS, events_of, views_of
from zekt_common.adapters.key_wrapping import WrappedKey
from zekt_common.append_limits import ENVELOPE_BYTES, MAX_BYTES, MAX_EVENTS, sent_bytes, too_many_bytes
from zekt_common.envelope import Envelope, encode
from zekt_common.errors import DocumentConflict, EventTampered

_AFTER: Final = "SELECT c.event FROM c WHERE c.version > @after ORDER BY c.version"
_PLACES: Final = "SELECT c.partition, c.id FROM c"


class CosmosImport:
    """Adds to a database what is not there, and refuses where something else is."""

    def __init__(self, database: CosmosDatabase) -> None:
        self._database = database

    async def add_events(self, service: str, envelopes: Sequence[Envelope]) -> None:
        """Store consecutive events of one stream, in batches that hold all or none; a repeat changes nothing.

        Raises:
            EventTampered: other events are stored at these versions, or those before them are not.
            AppendTooLarge: one event alone is more than Cosmos DB takes, as none is that this version stores.
        """
        container = self._database.container(events_of(service))
        for batch in _batches(envelopes):
            await _create(container, batch)

    async def add_key(self, key: WrappedKey) -> bool:
        """Store a data key as it is wrapped under the master key and return True, or False when it is there already.

        Raises:
            DocumentConflict: the account has another key there.
        """
        records = CosmosKeyRecords(self._database.container(KEYS))
        known = await records.find(key.account_id)
        kept = known or await records.add(key)
        rotated_since = kept.key_id == key.key_id and kept.wrapped != key.wrapped
        if kept.key_id != key.key_id or (rotated_since and not await records.replace(kept, key)):
            raise DocumentConflict(f"account {key.account_id} has another data key there")
        return known is None

    async def places(self, service: str) -> set[tuple[str, str]]:
        """Return the partition and id of every document in the service's views."""
        container = self._database.container(views_of(service))

        async def gather(_: object) -> set[tuple[str, str]]:
            found = container.proxy.query_items(_PLACES)
            return {(item["partition"], decode_id(item["id"])) async for item in found if item["id"] > BOUND}

        return await container.ask("query", gather)


def _batches(envelopes: Sequence[Envelope]) -> Iterator[Sequence[Envelope]]:
    """Part the events where one batch would not take them."""
    batch: list[Envelope] = []
    size = 0
    for envelope in envelopes:
        bytes_ = sent_bytes(encode(envelope)) + ENVELOPE_BYTES
        if batch and (len(batch) == MAX_EVENTS or size + bytes_ > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(envelope)
        size += bytes_
    if batch:
        yield batch


async def _create(container: CosmosContainer, batch: Sequence[Envelope]) -> None:
    before = batch[0].version - 1
    guard: list[Operation] = [("read", (item_id(before),), {})] if before else []
    creates: list[Operation] = [("create", ({**event_item(envelope), IMPORTED: True},), {}) for envelope in batch]
    try:
        await container.batch(batch[0].stream, [*guard, *creates])
    except CosmosRefused as refused:
        if refused.status == TOO_LARGE:
            raise too_many_bytes(batch[0].stream) from None
        if refused.status not in (EXISTS, FOUND_NOT):
            raise
        await _check_stored(container, batch)


async def _check_stored(container: CosmosContainer, batch: Sequence[Envelope]) -> None:
    """Pass if it was an earlier try of ours that stored the batch, its answer having been lost."""
    items = await container.query(batch[0].stream, _AFTER, {"@after": batch[0].version - 1})
    stored = [item["event"] for item in items[: len(batch)]]
    if stored != [encode(envelope).decode() for envelope in batch]:
        raise EventTampered(f"{container.name} holds another history of {batch[0].stream}")
