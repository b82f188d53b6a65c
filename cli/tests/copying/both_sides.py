import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from cli.tests.conftest import Zekt

from zekt_cli.copying.run import Target
from zekt_cli.copying.tally import Tally, pages, taken
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.cosmos_client import open_cosmos
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.kit.relay import Relay
from zekt_common.ports import EventStore, OutgoingMessage, Receiver

STREAMS = 6
ACCOUNT, ERASED = 7, 8
CONTENT = b"what GitHub sent" * 4096
LARGE_PAGE = 10_000
COPY = ("copy", "--from", "sqlite", "--to", "azure", "--json")
WITHIN_S = 60.0


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int
    text: str = ""


def noted(n: int, text: str = "") -> NewEvent:
    return NewEvent(body=Noted(n=n, text=text), source="test", subject=f"{n}", correlationid=f"{n}", causationid=f"{n}")


class MinutesPass:
    """A clock that is a minute later each time, and began a month ago."""

    def __init__(self) -> None:
        self._now = utc_now() - timedelta(days=30)

    def __call__(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


@asynccontextmanager
async def there(env: dict[str, str]) -> AsyncIterator[Target]:
    async with (
        connections(AzureSettings.from_env(env)) as ways,
        open_cosmos(ways.cosmos) as database,
        open_cosmos(ways.cosmos_keys) as keys,
        BlobContainer(ways.blob) as blobs,
    ):
        yield Target(database, keys, blobs)


async def events(store: EventStore) -> dict[str, Envelope]:
    found: dict[str, Envelope] = {}
    for feed in await store.feeds():
        async for page, _ in pages(store, feed):
            found |= {event.id: event for event in page}
    return found


async def tally_here(data_dir: Path, service: str) -> Tally:
    async with open_backend(data_dir, service) as backend:
        tally, _ = await taken(backend.store)
    return tally


async def published(target: Target, service: str, directory: Path) -> set[str]:
    """Store one more event there, and return what its relay publishes until that and everything else is out."""
    store, views = target.store(service), target.views(service)
    (new,) = await store.append("thing/new", [noted(1)], expected_version=0)
    async with open_backend(directory, service) as beside, asyncio.timeout(WITHIN_S):
        relay = Relay(store, beside.bus, views, CosmosLeases(views), topic=service, translate=as_it_is)
        running = asyncio.create_task(relay.run())
        receiver, ids = beside.bus.subscribe("ingress", "router"), set[str]()
        while new.id not in ids or await relay.lag() > 0:
            ids |= await _received(receiver)
        ids |= await _received(receiver)  # of what was published just before the lag was seen to be none
        running.cancel()
        await asyncio.wait([running])
    return ids - {new.id}


async def _received(receiver: Receiver) -> set[str]:
    messages = await receiver.receive(100, timeout_s=0.1)
    await asyncio.gather(*map(receiver.complete, messages))
    return {message.message_id for message in messages}


def as_it_is(envelope: Envelope) -> list[OutgoingMessage]:
    return [OutgoingMessage(envelope=envelope)]


def copied(zekt: Zekt, env: dict[str, str], *options: str) -> dict[str, Any]:
    ended = zekt(*COPY, *options, **env)
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)["report"]
    return report


def refusal(zekt: Zekt, env: dict[str, str], code: int) -> str:
    ended = zekt(*COPY, **env)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ended.stderr.count("\n") == 1
    return ended.stderr
