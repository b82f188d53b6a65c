import asyncio
import fcntl
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cli.tests.conftest import Zekt, environment
from cli.tests.test_provision import EMULATOR, SERVICES, cosmos
from click.testing import CliRunner
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_cli.__main__ import main
from zekt_cli.copying.run import Target
from zekt_cli.copying.tally import Tally, count, pages, taken
from zekt_cli.hosting.directory import occupied
from zekt_cli.provision.azure import provision
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.blob_payloads import BlobPayloads
from zekt_common.adapters.cosmos_client import open_cosmos
from zekt_common.adapters.cosmos_keys import CosmosKeys
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import KeyDestroyed
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument
from zekt_common.kit.relay import Relay
from zekt_common.ports import EventStore, OutgoingMessage, Put, Receiver
from zekt_sandbox.azurite import Azurite

STREAMS = 6
ACCOUNT, ERASED = 7, 8
CONTENT = b"what GitHub sent" * 4096
LARGE_PAGE = 10_000
COPY = ("copy", "--from", "sqlite", "--to", "azure", "--json")
WITHIN_S = 20.0


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


def noted(n: int) -> NewEvent:
    return NewEvent(body=Noted(n=n), source="test", subject=f"{n}", correlationid=f"{n}", causationid=f"{n}")


class MinutesPass:
    """A clock that is a minute later each time, and began a month ago."""

    def __init__(self) -> None:
        self._now = utc_now() - timedelta(days=30)

    def __call__(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cosmos(tmp_path_factory.mktemp("cosmos") / "log", "--key-ranges", "2") as settings:
        yield settings


@pytest.fixture
def zekt() -> Zekt:
    """`zekt` in this process, but for a thread of its own: starting another takes longer than most of these tests."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        with ThreadPoolExecutor(1) as thread:
            ended = thread.submit(CliRunner().invoke, main, [*map(str, arguments)], env=env).result()
        return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture
async def env(account: dict[str, str], azurite: Azurite, tmp_path: Path) -> dict[str, str]:
    """A provisioned database of its own, and where to copy from."""
    settings = account | {
        "ZEKT_COSMOS_DATABASE": f"zekt-{secrets.token_hex(4)}",
        "ZEKT_BLOB_CONNECTION": azurite.connection_string,
        "ZEKT_SERVICEBUS_CONNECTION": EMULATOR,
        "ZEKT_DATA_DIR": str(tmp_path / "data"),
    }
    async with connections(AzureSettings.from_env(settings)) as ways:
        await provision(ways, dry_run=False)
    return settings


@pytest.fixture
def data_dir(left_behind: Path, tmp_path: Path) -> Path:
    return shutil.copytree(left_behind, tmp_path / "data")


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a suite left that has published everything."""
    return asyncio.run(_left_behind(tmp_path_factory.mktemp("suite") / "data"))


async def _left_behind(directory: Path) -> Path:
    clock = MinutesPass()
    for service in SERVICES:
        async with open_backend(directory, service, clock=clock) as backend:
            for n in range(STREAMS):
                await backend.store.append(f"thing/{n}", [noted(n), noted(n)], expected_version=0)
            await backend.store.append("thing/0", [noted(0)], expected_version=2)
            await backend.views.write([Put(partition="things", id="a/b?", body=f'"{service}"'.encode())])
            for reader, limit in (("relay/" + service, LARGE_PAGE), ("projector/things", 5)):
                page = await backend.store.read_feed("all", "", limit)
                await CheckpointDocument(backend.views, f"{reader}/all").save(Checkpoint(page.cursor, page.through))
            await backend.payloads.put(ACCOUNT, CONTENT)
            await backend.keys.destroy(ERASED)
    return directory


@asynccontextmanager
async def there(env: dict[str, str]) -> AsyncIterator[Target]:
    async with (
        connections(AzureSettings.from_env(env)) as ways,
        open_cosmos(ways.cosmos) as database,
        BlobContainer(ways.blob) as blobs,
    ):
        yield Target(database, blobs)


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
        relay = Relay(store, beside.bus, views, CosmosLeases(views), topic=service, translate=_as_it_is)
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


def _as_it_is(envelope: Envelope) -> list[OutgoingMessage]:
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


async def test_events_views_keys_and_payloads_are_there_as_they_were(
    zekt: Zekt, env: dict[str, str], data_dir: Path
) -> None:
    report = copied(zekt, env)
    assert [each["events"] for each in report["services"]] == [2 * STREAMS + 1] * len(SERVICES)
    assert (report["keys"], report["payloads"]) == (2, 1)
    async with there(env) as target:
        for service in SERVICES:
            async with open_backend(data_dir, service) as backend:
                assert await events(target.store(service)) == await events(backend.store)
            document = await target.views(service).get("things", "a/b?")
            assert document is not None
            assert document.body == f'"{service}"'.encode()
        keys = CosmosKeys(target.database.container(KEYS), (data_dir / "master.key").read_bytes())
        (payload,) = [blob async for blob in target.blobs.listing() if blob.name.startswith(f"{ACCOUNT}/")][-1:]
        assert await BlobPayloads(target.blobs, keys).get(ACCOUNT, payload.name.partition("/")[2]) == CONTENT
        with pytest.raises(KeyDestroyed):
            await keys.data_key(ERASED)


async def test_a_dry_run_says_the_same_and_copies_nothing(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    planned = copied(zekt, env, "--dry-run")
    assert [each["copied"] for each in planned["services"]] == [2 * STREAMS + 1] * len(SERVICES)
    async with there(env) as target:
        assert await events(target.store("ingress")) == {}
    assert await tally_here(data_dir, "ingress")


@pytest.mark.usefixtures("data_dir")
def test_a_second_copy_changes_nothing(zekt: Zekt, env: dict[str, str]) -> None:
    assert not copied(zekt, env)["unchanged"]
    again = copied(zekt, env)
    assert again["unchanged"]
    assert {each["copied"] for each in again["services"]} == {0}


@pytest.mark.usefixtures("data_dir")
async def test_a_relay_publishes_nothing_old(zekt: Zekt, env: dict[str, str], tmp_path: Path) -> None:
    copied(zekt, env)
    async with there(env) as target:
        assert await published(target, "ingress", tmp_path / "bus") == set()


async def test_what_was_not_yet_published_is(zekt: Zekt, env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    async with open_backend(data_dir, "ingress") as backend:
        await backend.store.append("thing/late", [noted(1)], expected_version=0)
    copied(zekt, env)
    async with there(env) as target:
        assert await published(target, "ingress", tmp_path / "bus") == {"thing/late@1"}


async def test_what_waited_on_the_bus_is_published_again_with_all_that_came_after(
    zekt: Zekt, env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    async with open_backend(data_dir, "ingress") as backend:
        (waiting,) = await backend.store.read("thing/5", after=1)
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=waiting)])
    report = copied(zekt, env)
    assert report["services"][0]["publishesFrom"] == waiting.time.isoformat().replace("+00:00", "Z")
    async with there(env) as target:
        again = await published(target, "ingress", tmp_path / "bus")
    assert again == {"thing/5@1", "thing/5@2", "thing/0@3"}


async def test_a_relay_that_was_copied_can_be_rewound(
    zekt: Zekt, env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    async with open_backend(data_dir, "ingress") as backend:
        last = (await backend.store.read("thing/0", after=2))[0]
    copied(zekt, env)
    async with there(env) as target:
        store, views = target.store("ingress"), target.views("ingress")
        async with open_backend(tmp_path / "bus", "ingress") as beside:
            relay = Relay(store, beside.bus, views, CosmosLeases(views), topic="ingress", translate=_as_it_is)
            await relay.rewind(last.time)
        again = await published(target, "ingress", tmp_path / "bus")
    assert "thing/0@3" in {id_.partition("~")[0] for id_ in again}
    assert "thing/1@1" not in {id_.partition("~")[0] for id_ in again}


async def test_a_projector_goes_on_where_it_was(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    copied(zekt, env)
    async with open_backend(data_dir, "router") as backend:
        here = await backend.store.read_feed("all", "", LARGE_PAGE)
    async with there(env) as target:
        store, views = target.store("router"), target.views("router")
        ahead: set[str] = set()
        for feed in await store.feeds():
            at = await CheckpointDocument(views, f"projector/things/{feed}").load()
            ahead |= {event.id for event in (await store.read_feed(feed, at.cursor, LARGE_PAGE)).events}
    assert ahead == {event.id for event in here.events if event.time >= here.events[5].time}


async def test_a_copy_that_was_killed_goes_on(zekt: Zekt, env: dict[str, str], tmp_path: Path) -> None:
    data_dir, clock = tmp_path / "data", MinutesPass()
    async with open_backend(data_dir, "ingress", clock=clock) as backend:
        for n in range(400):
            await backend.store.append(f"thing/{n % 50}", [noted(n)], expected_version=n // 50)
        page = await backend.store.read_feed("all", "", LARGE_PAGE)
        await CheckpointDocument(backend.views, "relay/ingress/all").save(Checkpoint(page.cursor, page.through))
    async with there(env) as target:
        await _kill_in_the_middle(env, target, tmp_path)
        before, _ = await taken(target.store("ingress"))
        report = copied(zekt, env)
        assert report["services"][0]["copied"] == 400 - count(before) > 0
        after, _ = await taken(target.store("ingress"))
        assert after == await tally_here(data_dir, "ingress")
        assert await published(target, "ingress", tmp_path / "bus") == set()


async def _kill_in_the_middle(env: dict[str, str], target: Target, directory: Path) -> None:
    command = [sys.executable, "-m", "zekt_cli", *COPY]
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own interpreter and module
        command, cwd=directory, env=environment(**env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        while count((await taken(target.store("ingress")))[0]) < 20:
            assert time.monotonic() < deadline
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()


async def test_dead_letters_that_stay_behind_are_told_of(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    async with open_backend(data_dir, "ingress") as backend:
        (first, *_) = await backend.store.read("thing/0")
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=first, to="router")])
        receiver = backend.bus.subscribe("ingress", "router")
        (message,) = await receiver.receive(1, timeout_s=WITHIN_S)
        await receiver.dead_letter(message, "poison")
    said = zekt(*COPY[:-1], **env).stdout.splitlines()
    assert said[0] == f"ingress     {2 * STREAMS + 1} events in {STREAMS} streams, {2 * STREAMS + 1} not there before"
    assert said[-2:] == ["1 dead letters stay here: `zekt dlq` shows them", "copied, and the same on both sides"]


async def test_events_of_the_future_are_refused(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    async with open_backend(data_dir, "router", clock=lambda: utc_now() + timedelta(hours=1)) as backend:
        await backend.store.append("thing/ahead", [noted(1)], expected_version=0)
    assert "which is yet to come: set the clock" in refusal(zekt, env, 1)


@pytest.mark.usefixtures("data_dir")
async def test_a_target_that_holds_something_else_is_left_alone(zekt: Zekt, env: dict[str, str]) -> None:
    async with there(env) as target:
        await target.store("router").append("thing/1", [noted(99)], expected_version=0)
        said = refusal(zekt, env, 1)
        assert said.startswith("zekt: router's stream thing/1 is not the same in both stores")
        assert await events(target.store("ingress")) == {}


@pytest.mark.usefixtures("data_dir")
async def test_a_suite_that_has_gone_on_over_there_is_left_alone(zekt: Zekt, env: dict[str, str]) -> None:
    copied(zekt, env)
    async with there(env) as target:
        await target.store("router").append("thing/1", [noted(99)], expected_version=2)
    assert "router's stream thing/1 is not the same" in refusal(zekt, env, 1)


async def test_what_was_stored_here_after_a_copy_is_not_mixed_in(
    zekt: Zekt, env: dict[str, str], data_dir: Path
) -> None:
    copied(zekt, env)
    async with open_backend(data_dir, "router") as backend:
        await backend.store.append("thing/late", [noted(1)], expected_version=0)
    assert refusal(zekt, env, 1).startswith("zekt: 1 events were stored here since this was copied")


@pytest.mark.usefixtures("data_dir")
async def test_views_that_a_cut_short_copy_left_and_that_are_no_more_are_removed(
    zekt: Zekt, env: dict[str, str]
) -> None:
    async with there(env) as target:
        await target.views("router").write([Put(partition="due", id="old", body=b"{}")])
        copied(zekt, env)
        assert await target.views("router").get("due", "old") is None


def test_a_suite_that_runs_here_is_named(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    with occupied(data_dir):
        assert f"a suite runs on {data_dir} already" in refusal(zekt, env, 1)


def test_a_service_that_runs_here_alone_is_noticed(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    (data_dir / "leases").mkdir(exist_ok=True)
    with (data_dir / "leases" / "relay%2Fingress.lease").open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        assert f"a service runs on {data_dir}" in refusal(zekt, env, 1)


@pytest.mark.usefixtures("data_dir")
async def test_a_suite_that_runs_over_there_is_noticed(zekt: Zekt, env: dict[str, str]) -> None:
    async with there(env) as target, CosmosLeases(target.views("router")).hold("relay/router"):
        said = await asyncio.to_thread(refusal, zekt, env, 1)
    assert "a suite runs where ZEKT_COSMOS_ENDPOINT leads" in said


def test_another_master_key_is_refused(zekt: Zekt, env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    said = refusal(zekt, env | {"ZEKT_MASTER_KEY_FILE": str(other)}, 2)
    assert f"names another key than {data_dir / 'master.key'}" in said


def test_a_directory_without_a_suite_is_refused(zekt: Zekt, env: dict[str, str], tmp_path: Path) -> None:
    assert f"{tmp_path / 'data'} holds no suite's data" in refusal(zekt, env, 2)
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("data_dir")
def test_a_target_that_is_not_provisioned_is_refused(zekt: Zekt, env: dict[str, str]) -> None:
    said = refusal(zekt, env | {"ZEKT_COSMOS_DATABASE": "nowhere"}, 1)
    assert "run `zekt provision` first" in said


@pytest.mark.usefixtures("data_dir")
def test_missing_settings_are_named(zekt: Zekt, tmp_path: Path) -> None:
    said = refusal(zekt, {"ZEKT_DATA_DIR": str(tmp_path / "data")}, 2)
    assert "ZEKT_COSMOS_ENDPOINT is not set" in said


@pytest.mark.usefixtures("data_dir")
def test_an_account_out_of_reach_is_named(zekt: Zekt, env: dict[str, str], unused_tcp_port: int) -> None:
    said = refusal(zekt, env | {"ZEKT_COSMOS_ENDPOINT": f"http://127.0.0.1:{unused_tcp_port}"}, 3)
    assert said.startswith("zekt: ZEKT_COSMOS_ENDPOINT")
