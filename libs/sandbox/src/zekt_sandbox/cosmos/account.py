"""The account: its databases, their containers, and the regions it says it writes to."""

import itertools
from typing import Any, TypeVar

from zekt_sandbox.cosmos.clock import Clock
from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.errors import bad_request, conflict, not_found, owner_not_found
from zekt_sandbox.cosmos.resource_ids import new_etag, resource_id

_PARTITION_KEY = {"paths": ["/_partitionKey"], "kind": "Hash", "version": 2}


class Database:
    """Containers by id."""

    def __init__(self, number: int, name: str, clock: Clock) -> None:
        self.number = number
        self.rid = resource_id(number)
        self.containers: dict[str, Container] = {}
        self.container_numbers = itertools.count(1)
        own = {"_rid": self.rid, "_self": f"dbs/{self.rid}/", "_etag": new_etag(), "_ts": int(clock.now())}
        self.properties: dict[str, Any] = {"id": name, **own, "_colls": "colls/", "_users": "users/"}


R = TypeVar("R", Database, Container)


class Account:
    """Everything one endpoint serves; new containers start with `range_count` key ranges."""

    def __init__(self, clock: Clock, *, range_count: int = 1, write_regions: tuple[str, ...] = ("Local",)) -> None:
        self.clock = clock
        self.range_count = range_count
        self.write_regions = write_regions
        self.databases: dict[str, Database] = {}
        self._numbers = itertools.count(1)

    def properties(self, url: str) -> dict[str, Any]:
        """The account as its root resource shows it; every region is at `url`."""
        regions = [{"name": name, "databaseAccountEndpoint": f"{url}/"} for name in self.write_regions]
        return {
            "_self": "",
            "id": "zekt-sandbox",
            "_rid": "zekt-sandbox",
            "media": "//media/",
            "addresses": "//addresses/",
            "_dbs": "//dbs/",
            "writableLocations": regions,
            "readableLocations": regions,
            "enableMultipleWriteLocations": len(regions) > 1,
            "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
            "queryEngineConfiguration": "{}",
        }

    def create_database(self, name: str) -> Database:
        """A new, empty database.

        Raises:
            CosmosError: 409, it exists.
        """
        if name in self.databases:
            raise conflict()
        database = self.databases[name] = Database(next(self._numbers), name, self.clock)
        return database

    def create_container(self, database: Database, definition: dict[str, Any]) -> Container:
        """A new, empty container.

        Raises:
            CosmosError: 409, it exists; 400, it needs what this stand-in does not have.
        """
        name = definition.get("id")
        if not isinstance(name, str) or not name:
            raise bad_request("The input content is invalid because the required properties - 'id; ' - are missing")
        if name in database.containers:
            raise conflict()
        container = Container(
            f"dbs/{database.properties['id']}/colls/{name}",
            (database.number, next(database.container_numbers)),
            {"partitionKey": _PARTITION_KEY, **definition},
            clock=self.clock,
            range_count=self.range_count,
        )
        database.containers[name] = container
        return container

    def database(self, name: str) -> Database:
        """The database with this id or `_rid`.

        Raises:
            CosmosError: 404.
        """
        found = _addressed(self.databases, name)
        if found is None:
            raise not_found()
        return found

    def container(self, database: str, name: str) -> Container:
        """The container with these ids or `_rid`s.

        Raises:
            CosmosError: 404, the container is missing; with substatus 1003, its database is.
        """
        owner = _addressed(self.databases, database)
        if owner is None:
            raise owner_not_found()
        found = _addressed(owner.containers, name)
        if found is None:
            raise not_found()
        return found


def _addressed(resources: dict[str, R], name: str) -> R | None:
    """SDKs address by id or by `_rid`."""
    return resources.get(name) or next((each for each in resources.values() if each.rid == name), None)
