"""Documents as Cosmos items, and changes as operations of a batch."""

from collections.abc import Mapping
from typing import Any, Final

from zekt_common.adapters.cosmos_container import Item, Operation
from zekt_common.adapters.cosmos_ids import decode_id, encode_id
from zekt_common.ports.views import ABSENT, ANY, Document, Put, Remove

Change = Put | Remove
INTENT: Final = "intent"
WRITE: Final = "write"


def document_of(item: Item) -> Document:
    """Return the document in this item."""
    return Document(
        partition=item["partition"], id=decode_id(item["id"]), etag=item["_etag"], body=item["body"].encode()
    )


def item_of(put: Put, marks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item to store; the body is kept as text, so that every engine gives back the same bytes."""
    expiry = {} if put.ttl_s is None else {"ttl": put.ttl_s}
    place = {"id": encode_id(put.id), "partition": put.partition}
    return {**place, "body": put.body.decode(), **expiry, **marks}


def operation_of(change: Change, marks: Mapping[str, Any]) -> Operation:
    """Return the operation that applies this change on its condition."""
    id_ = encode_id(change.id)
    condition = {} if change.if_match in (ANY, ABSENT) else {"if_match_etag": change.if_match}
    if isinstance(change, Remove):
        return ("delete", (id_,), condition)
    if change.if_match == ABSENT:
        return ("create", (item_of(change, marks),), {})
    if change.if_match == ANY:
        return ("upsert", (item_of(change, marks),), {})
    return ("replace", (id_, item_of(change, marks)), condition)
