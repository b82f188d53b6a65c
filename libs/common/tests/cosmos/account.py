"""A Cosmos DB account to test on: the stand-in, as a process of its own or in the test's own loop."""

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.exceptions import CosmosResourceExistsError

from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_topology import ContainerDefinition, definitions
from zekt_common.clock import Clock

SERVICE = "ingress"
KEY_RANGES = 3


@contextmanager
def account_process() -> Iterator[CosmosConnection]:
    """Run the stand-in as a process of its own, which outlives event loops."""
    command = [sys.executable, "-m", "zekt_sandbox.cosmos", "--port", "0", "--key-ranges", str(KEY_RANGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield CosmosConnection(endpoint=ready["url"], key=ready["key"])
        finally:
            process.terminate()


def share_clock(connection: CosmosConnection, clock: Clock) -> None:
    """Have the stand-in's clock stand where a manual one stands, and follow it; real time is the machine's."""
    followers: list[Callable[[], None]] | None = getattr(clock, "followers", None)

    def follow() -> None:
        at = None if followers is None else clock().timestamp()
        order = json.dumps({"at": at}).encode()
        request = urllib.request.Request(f"{connection.endpoint.rstrip('/')}/_faults/clock", data=order, method="PUT")  # noqa: S310 - our own process
        with urllib.request.urlopen(request):  # noqa: S310 - likewise
            pass

    follow()
    if followers is not None:
        followers.append(follow)


@asynccontextmanager
async def open_provisioned(connection: CosmosConnection) -> AsyncIterator[CosmosDatabase]:
    """Open the database with every container that one service needs, making what is missing."""
    async with open_cosmos(connection) as database:
        await database.client.create_database_if_not_exists(connection.database)
        await asyncio.gather(*(_create(database, definition) for definition in definitions((SERVICE,))))
        yield database


async def _create(database: CosmosDatabase, definition: ContainerDefinition) -> None:
    expiry: dict[str, Any] = {} if definition.default_ttl_s is None else {"default_ttl": definition.default_ttl_s}
    with contextlib.suppress(CosmosResourceExistsError):
        await database.proxy.create_container(
            definition.name,
            PartitionKey(definition.partition_key),
            indexing_policy=definition.indexing_policy,
            **expiry,
        )
