"""The operations of the service: each call is looked up, carried out and answered."""

from collections.abc import Callable
from typing import Any

from zekt_sandbox.cosmos.account import Account
from zekt_sandbox.cosmos.answers import Answer, charge, listing, session
from zekt_sandbox.cosmos.batch import run_batch
from zekt_sandbox.cosmos.calls import Call, Operation
from zekt_sandbox.cosmos.change_feed import read_change_feed
from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import bad_request, too_large
from zekt_sandbox.cosmos.items import ItemOperation, apply
from zekt_sandbox.cosmos.query import answer_query, answer_query_plan, answer_read_feed
from zekt_sandbox.cosmos.scope import partition_key
from zekt_sandbox.cosmos.transactions import MAX_BYTES, Transaction

_KIB = 1024
_RECREATED = 1024  # the substatus on which the SDK reads the container again
_READ_UNITS_PER_KIB, _WRITE_UNITS_PER_KIB = 1.0, 5.7


def answer(account: Account, call: Call) -> Answer:
    """Carry out one call.

    Raises:
        CosmosError: it is refused.
        SqlError: its query cannot be read.
    """
    return _HANDLERS[call.operation](account, call)


def _read_account(account: Account, call: Call) -> Answer:
    return Answer(200, encode(account.properties(call.url)))


def _list_offers(_account: Account, _call: Call) -> Answer:
    return Answer(200, listing("", "Offers", []))


def _create_database(account: Account, call: Call) -> Answer:
    return _resource(account.create_database(_named(call.json())).properties, 201)


def _list_databases(account: Account, _call: Call) -> Answer:
    texts = [encode(database.properties) for database in account.databases.values()]
    return Answer(200, listing("", "Databases", texts))


def _read_database(account: Account, call: Call) -> Answer:
    return _resource(account.database(call.segments[1]).properties)


def _delete_database(account: Account, call: Call) -> Answer:
    del account.databases[account.database(call.segments[1]).properties["id"]]
    return Answer(204)


def _create_container(account: Account, call: Call) -> Answer:
    database = account.database(call.segments[1])
    return _resource(account.create_container(database, call.json()).properties, 201)


def _list_containers(account: Account, call: Call) -> Answer:
    database = account.database(call.segments[1])
    texts = [encode(container.properties) for container in database.containers.values()]
    return Answer(200, listing(database.rid, "DocumentCollections", texts))


def _read_container(account: Account, call: Call) -> Answer:
    return _resource(_container(account, call).properties)


def _replace_container(account: Account, call: Call) -> Answer:
    container = _container(account, call)
    container.replace(call.json())
    return _resource(container.properties)


def _delete_container(account: Account, call: Call) -> Answer:
    container = _container(account, call)
    del account.database(call.segments[1]).containers[container.properties["id"]]
    return Answer(204)


def _list_key_ranges(account: Account, call: Call) -> Answer:
    container = _container(account, call)
    etag = f'"{container.generation}"'
    if call.headers.get("If-None-Match") == etag:
        return Answer(304, "", {"etag": etag})
    texts = [encode(view) for view in _key_range_views(container)]
    return Answer(200, listing(container.rid, "PartitionKeyRanges", texts), {"etag": etag})


def _key_range_views(container: Container) -> list[dict[str, Any]]:
    return [
        {
            "_rid": container.rid,
            "id": held.id,
            "minInclusive": held.low,
            "maxExclusive": held.high,
            "parents": held.parents,
            "status": "online",
            "throughputFraction": 1 / len(container.ranges),
            "_self": f"{container.link}pkranges/{held.id}/",
        }
        for held in container.ranges
    ]


def _apply_to_item(account: Account, call: Call) -> Answer:
    container = _container(account, call)
    transaction = Transaction(container, container.partition(partition_key(call.headers)))
    outcome = apply(transaction, _item_operation(call))
    transaction.commit()
    headers = session(container, container.range_of(transaction.partition.hashed))
    if outcome.item is None:
        return Answer(outcome.status, "", headers | charge(_units(call, 0)))
    headers["etag"] = outcome.item.etag
    headers |= charge(_units(call, len(outcome.item.text)))
    return Answer(outcome.status, "" if _is_minimal(call) else outcome.item.text, headers)


def _batch(account: Account, call: Call) -> Answer:
    if len(call.body) > MAX_BYTES:
        raise too_large()
    container = _container(account, call)
    transaction = Transaction(container, container.partition(partition_key(call.headers)))
    status, text = run_batch(transaction, call.json())
    headers = session(container, container.range_of(transaction.partition.hashed))
    return Answer(status, text, headers | charge(_units(call, len(call.body))))


def _query(account: Account, call: Call) -> Answer:
    return answer_query(_container(account, call), call)


def _query_plan(_account: Account, call: Call) -> Answer:
    return answer_query_plan(call)


def _read_feed(account: Account, call: Call) -> Answer:
    return answer_read_feed(_container(account, call), call)


def _change_feed(account: Account, call: Call) -> Answer:
    return read_change_feed(_container(account, call), call)


_HANDLERS: dict[Operation, Callable[[Account, Call], Answer]] = {
    Operation.READ_ACCOUNT: _read_account,
    Operation.LIST_OFFERS: _list_offers,
    Operation.CREATE_DATABASE: _create_database,
    Operation.LIST_DATABASES: _list_databases,
    Operation.READ_DATABASE: _read_database,
    Operation.DELETE_DATABASE: _delete_database,
    Operation.CREATE_CONTAINER: _create_container,
    Operation.LIST_CONTAINERS: _list_containers,
    Operation.READ_CONTAINER: _read_container,
    Operation.REPLACE_CONTAINER: _replace_container,
    Operation.DELETE_CONTAINER: _delete_container,
    Operation.LIST_KEY_RANGES: _list_key_ranges,
    Operation.CREATE: _apply_to_item,
    Operation.UPSERT: _apply_to_item,
    Operation.READ: _apply_to_item,
    Operation.REPLACE: _apply_to_item,
    Operation.PATCH: _apply_to_item,
    Operation.DELETE: _apply_to_item,
    Operation.BATCH: _batch,
    Operation.QUERY: _query,
    Operation.QUERY_PLAN: _query_plan,
    Operation.READ_FEED: _read_feed,
    Operation.CHANGE_FEED: _change_feed,
}


def _container(account: Account, call: Call) -> Container:
    container = account.container(call.segments[1], call.segments[3])
    if call.headers.get("x-ms-cosmos-intended-collection-rid", container.rid) != container.rid:
        raise bad_request("The container was deleted and created again.", _RECREATED)
    return container


def _item_operation(call: Call) -> ItemOperation:
    body = call.json() if call.body else None
    return ItemOperation(
        call.operation, call.item_id, body, call.headers.get("If-Match"), call.headers.get("If-None-Match")
    )


def _resource(properties: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, encode(properties), {"etag": properties["_etag"]})


def _named(definition: Any) -> str:
    name = definition.get("id") if isinstance(definition, dict) else None
    if not isinstance(name, str) or not name:
        raise bad_request("The input content is invalid because the required properties - 'id; ' - are missing")
    return name


def _is_minimal(call: Call) -> bool:
    return call.operation is not Operation.READ and call.headers.get("Prefer") == "return=minimal"


def _units(call: Call, size_bytes: int) -> float:
    per_kib = _READ_UNITS_PER_KIB if call.operation is Operation.READ else _WRITE_UNITS_PER_KIB
    return max(1.0, size_bytes / _KIB) * per_kib
