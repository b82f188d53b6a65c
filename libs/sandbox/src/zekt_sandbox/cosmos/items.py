"""Point operations on items: each reads or stages a write in a transaction on one logical partition."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.calls import Operation
from zekt_sandbox.cosmos.errors import bad_request, conflict, not_found, precondition_failed
from zekt_sandbox.cosmos.partitions import Item
from zekt_sandbox.cosmos.patches import patched
from zekt_sandbox.cosmos.sql.statement import parse_select
from zekt_sandbox.cosmos.transactions import Transaction

_FORBIDDEN_IN_IDS = re.compile(r"[/\\?#]")
_MAX_ID_BYTES = 1023
_MISMATCH = "PartitionKey extracted from document doesn't match the one specified in the header."


@dataclass(slots=True)
class ItemOperation:
    """One operation, alone or in a batch."""

    kind: Operation
    item_id: str | None = None
    body: Any = None
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(slots=True)
class Outcome:
    """The status of one operation and the item it answers with."""

    status: int
    item: Item | None = None


def apply(transaction: Transaction, operation: ItemOperation) -> Outcome:
    """Carry out one operation.

    Raises:
        CosmosError: it is refused, and the transaction must not be committed.
    """
    return _HANDLERS[operation.kind](transaction, operation)


def _create(transaction: Transaction, operation: ItemOperation) -> Outcome:
    body = _checked(transaction, operation.body)
    if transaction.find(body["id"]) is not None:
        raise conflict()
    return Outcome(201, transaction.put(body, None))


def _upsert(transaction: Transaction, operation: ItemOperation) -> Outcome:
    body = _checked(transaction, operation.body)
    previous = transaction.find(body["id"])
    if previous is None:
        return Outcome(201, transaction.put(body, None))
    _require_match(operation, previous)
    return Outcome(200, transaction.put(body, previous))


def _replace(transaction: Transaction, operation: ItemOperation) -> Outcome:
    body = _checked(transaction, operation.body)
    previous = _existing(transaction, operation)
    if body["id"] != previous.id:
        raise bad_request("Replacing an item's id is not allowed.")
    return Outcome(200, transaction.put(body, previous))


def _patch(transaction: Transaction, operation: ItemOperation) -> Outcome:
    previous = _existing(transaction, operation)
    condition, operations = _read_patch(operation.body)
    if condition and not parse_select(f"SELECT * {condition}").matches(previous.body, {}):
        raise precondition_failed()
    body = _checked(transaction, patched(previous.body, operations))
    if body["id"] != previous.id:
        raise bad_request("Patching an item's id is not allowed.")
    return Outcome(200, transaction.put(body, previous))


def _read(transaction: Transaction, operation: ItemOperation) -> Outcome:
    item = _existing(transaction, operation)
    return Outcome(304) if operation.if_none_match == item.etag else Outcome(200, item)


def _delete(transaction: Transaction, operation: ItemOperation) -> Outcome:
    transaction.delete(_existing(transaction, operation))
    return Outcome(204)


_HANDLERS: dict[Operation, Callable[[Transaction, ItemOperation], Outcome]] = {
    Operation.CREATE: _create,
    Operation.UPSERT: _upsert,
    Operation.REPLACE: _replace,
    Operation.PATCH: _patch,
    Operation.READ: _read,
    Operation.DELETE: _delete,
}


def _existing(transaction: Transaction, operation: ItemOperation) -> Item:
    item = transaction.find(operation.item_id or "")
    if item is None:
        raise not_found()
    _require_match(operation, item)
    return item


def _require_match(operation: ItemOperation, item: Item) -> None:
    if operation.if_match not in (None, "*", item.etag):
        raise precondition_failed()


def _read_patch(body: Any) -> tuple[str | None, list[dict[str, Any]]]:
    if not isinstance(body, dict) or not isinstance(body.get("operations"), list):
        raise bad_request("The request body is not a patch.")
    return body.get("condition"), body["operations"]


def _checked(transaction: Transaction, body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("id"), str) or not body["id"]:
        raise bad_request("The input content is invalid because the required properties - 'id; ' - are missing")
    if _FORBIDDEN_IN_IDS.search(body["id"]) or len(body["id"].encode()) > _MAX_ID_BYTES:
        raise bad_request("The id contains illegal characters or is too long.")
    if not _is_ttl(body.get("ttl")):
        raise bad_request("The ttl is neither -1 nor a positive number of seconds.")
    if transaction.container.partition_key_of(body) != transaction.partition.value:
        raise bad_request(_MISMATCH, 1001)
    return body


def _is_ttl(value: Any) -> bool:
    return value is None or (type(value) is int and (value > 0 or value == -1))
