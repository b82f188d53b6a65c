"""What a request asks for, told from its method, path and headers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from zekt_sandbox.cosmos.errors import bad_request


class Operation(StrEnum):
    """Every operation the stand-in serves; faults are aimed at these names."""

    READ_ACCOUNT = "read_account"
    LIST_OFFERS = "list_offers"
    CREATE_DATABASE = "create_database"
    LIST_DATABASES = "list_databases"
    READ_DATABASE = "read_database"
    DELETE_DATABASE = "delete_database"
    CREATE_CONTAINER = "create_container"
    LIST_CONTAINERS = "list_containers"
    READ_CONTAINER = "read_container"
    REPLACE_CONTAINER = "replace_container"
    DELETE_CONTAINER = "delete_container"
    LIST_KEY_RANGES = "list_key_ranges"
    CREATE = "create"
    UPSERT = "upsert"
    READ = "read"
    REPLACE = "replace"
    PATCH = "patch"
    DELETE = "delete"
    BATCH = "batch"
    QUERY = "query"
    QUERY_PLAN = "query_plan"
    READ_FEED = "read_feed"
    CHANGE_FEED = "change_feed"


_ROUTES = {
    ("GET", ""): Operation.READ_ACCOUNT,
    ("GET", "offers"): Operation.LIST_OFFERS,
    ("POST", "offers"): Operation.LIST_OFFERS,
    ("POST", "dbs"): Operation.CREATE_DATABASE,
    ("GET", "dbs"): Operation.LIST_DATABASES,
    ("GET", "dbs/*"): Operation.READ_DATABASE,
    ("DELETE", "dbs/*"): Operation.DELETE_DATABASE,
    ("POST", "dbs/*/colls"): Operation.CREATE_CONTAINER,
    ("GET", "dbs/*/colls"): Operation.LIST_CONTAINERS,
    ("GET", "dbs/*/colls/*"): Operation.READ_CONTAINER,
    ("PUT", "dbs/*/colls/*"): Operation.REPLACE_CONTAINER,
    ("DELETE", "dbs/*/colls/*"): Operation.DELETE_CONTAINER,
    ("GET", "dbs/*/colls/*/pkranges"): Operation.LIST_KEY_RANGES,
    ("POST", "dbs/*/colls/*/docs"): Operation.CREATE,
    ("GET", "dbs/*/colls/*/docs"): Operation.READ_FEED,
    ("GET", "dbs/*/colls/*/docs/*"): Operation.READ,
    ("PUT", "dbs/*/colls/*/docs/*"): Operation.REPLACE,
    ("PATCH", "dbs/*/colls/*/docs/*"): Operation.PATCH,
    ("DELETE", "dbs/*/colls/*/docs/*"): Operation.DELETE,
}
_AS_QUERY = {
    Operation.CREATE: Operation.QUERY,
    Operation.CREATE_DATABASE: Operation.LIST_DATABASES,
    Operation.CREATE_CONTAINER: Operation.LIST_CONTAINERS,
}
_CONTAINER, _ITEM = 3, 5


@dataclass(slots=True)
class Call:
    """One request: `segments` are the path's parts, decoded, and `headers` ignore case."""

    method: str
    operation: Operation
    segments: list[str]
    headers: Mapping[str, str]
    body: bytes
    url: str

    @classmethod
    def read(cls, method: str, raw_path: str, headers: Mapping[str, str], body: bytes, url: str) -> "Call":
        """The request as a call; `url` is where the client reached the stand-in.

        Raises:
            CosmosError: 400, nothing is served there.
        """
        segments = [unquote(part) for part in raw_path.partition("?")[0].split("/") if part]
        return cls(method, _operation(method, segments, headers), segments, headers, body, url)

    @property
    def container(self) -> str | None:
        """The container's id in the path."""
        return self.segments[_CONTAINER] if len(self.segments) > _CONTAINER else None

    @property
    def item_id(self) -> str | None:
        """The item's id in the path."""
        return self.segments[_ITEM] if len(self.segments) > _ITEM else None

    def json(self) -> Any:
        """The body.

        Raises:
            CosmosError: 400, it is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise bad_request("The request body is not valid JSON.") from None


def _operation(method: str, segments: list[str], headers: Mapping[str, str]) -> Operation:
    pattern = "/".join("*" if index % 2 else part for index, part in enumerate(segments))
    operation = _ROUTES.get((method, pattern))
    if operation is None:
        raise bad_request(f"this stand-in does not serve {method} {pattern}")
    if method == "POST":
        return _posted(operation, headers)
    if operation is Operation.READ_FEED and "A-IM" in headers:
        return Operation.CHANGE_FEED
    return operation


def _posted(operation: Operation, headers: Mapping[str, str]) -> Operation:
    if _is_true(headers.get("x-ms-cosmos-is-query-plan-request")):
        return Operation.QUERY_PLAN
    if _is_true(headers.get("x-ms-documentdb-isquery")):
        return _AS_QUERY.get(operation, operation)
    if operation is not Operation.CREATE:
        return operation
    if _is_true(headers.get("x-ms-cosmos-is-batch-request")):
        return Operation.BATCH
    return Operation.UPSERT if _is_true(headers.get("x-ms-documentdb-is-upsert")) else operation


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"
