"""The views on Cosmos DB: a container for each service, a logical partition for each partition of documents."""

from collections.abc import Sequence
from typing import Final

from zekt_common.adapters.cosmos_container import CosmosContainer, Item
from zekt_common.adapters.cosmos_documents import INTENT, Change, document_of
from zekt_common.adapters.cosmos_ids import BOUND, encode_id
from zekt_common.adapters.cosmos_intents import Intents
from zekt_common.adapters.cosmos_partition_writes import PartitionWrites, fits_a_batch
from zekt_common.errors import DocumentConflict
from zekt_common.ports.views import ANY, Document

_ASCENDING: Final = "SELECT * FROM c WHERE c.id > @after ORDER BY c.id"
_DESCENDING: Final = "SELECT * FROM c WHERE c.id < @after AND c.id > @bound ORDER BY c.id DESC"
_LAST: Final = "SELECT * FROM c WHERE c.id > @bound ORDER BY c.id DESC"


class CosmosViews:
    """The `Views` port over one service's container of views."""

    def __init__(self, container: CosmosContainer) -> None:
        self._container = container
        self._writes = PartitionWrites(container)
        self._intents = Intents(container, self._writes)

    async def get(self, partition: str, id_: str, /) -> Document | None:
        """Return the document, or None."""
        item = await self._container.read(partition, encode_id(id_))
        return None if item is None else await self._document(item)

    async def listing(
        self, partition: str, /, *, after: str = "", limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Return documents of the partition in order of id."""
        query = _ASCENDING if not descending else _DESCENDING if after else _LAST
        parameters = {"@after": encode_id(after) or BOUND, "@bound": BOUND}
        wanted = {name: value for name, value in parameters.items() if name in query}
        items = await self._container.query(partition, query, wanted, limit=limit)
        return [await self._document(item) for item in items]

    async def write(self, changes: Sequence[Change], /, *, durable: bool = True) -> list[str]:
        """Apply all changes or none; see `Views.write`. Every write is durable here."""
        del durable
        if not changes:
            return []
        conditional = [change for change in changes if change.if_match != ANY]
        if len({change.partition for change in changes}) == 1 and fits_a_batch(changes):
            etags = _placed(changes[0].partition, await self._writes.write(changes, {}))
        elif conditional:
            etags = await self._write_by_intent(conditional, [each for each in changes if each.if_match == ANY])
        else:
            etags = await self._intents.carry_out(await self._intents.note(changes[0].partition, changes))
        return [etags.get((change.partition, change.id), "") for change in changes]

    async def _write_by_intent(
        self, conditional: Sequence[Change], others: Sequence[Change]
    ) -> dict[tuple[str, str], str]:
        partition = conditional[0].partition
        if any(change.partition != partition for change in conditional) or not fits_a_batch(conditional):
            raise ValueError("the changes with a condition have to lie in one partition, and be few")
        intent = await self._intents.note(partition, others)
        try:
            etags = _placed(partition, await self._writes.write(conditional, intent.marks))
        except DocumentConflict:
            await self._intents.forget(intent)
            raise
        return etags | await self._intents.carry_out(intent)

    async def _document(self, item: Item) -> Document:
        if INTENT in item:
            await self._intents.finish(item["partition"], item[INTENT])
        return document_of(item)


def _placed(partition: str, etags: dict[str, str]) -> dict[tuple[str, str], str]:
    return {(partition, id_): etag for id_, etag in etags.items()}
