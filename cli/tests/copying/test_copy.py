import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.tests.conftest import Zekt, environment
from cli.tests.copying.both_sides import (
    ACCOUNT,
    CONTENT,
    COPY,
    ERASED,
    LARGE_PAGE,
    STREAMS,
    WITHIN_S,
    MinutesPass,
    as_it_is,
    copied,
    events,
    noted,
    published,
    tally_here,
    there,
)
from cli.tests.test_provision import SERVICES, cosmos

from zekt_cli.copying.run import Target
from zekt_cli.copying.sealed import copy_keys
from zekt_cli.copying.tally import count, taken
from zekt_cli.provision.schemas import READ
from zekt_common.adapters.blob_payloads import BlobPayloads
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.embedded import open_backend
from zekt_common.adapters.master_key_file import FileMasterKey
from zekt_common.adapters.sqlite_export import open_export
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.errors import KeyDestroyed
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument
from zekt_common.kit.relay import Relay
from zekt_common.ports import OutgoingMessage, Put


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
        records = CosmosKeyRecords(target.keys.container(KEYS))
        keys = WrappedKeys(records, FileMasterKey(data_dir / "master.key"))
        (payload,) = [blob async for blob in target.blobs.listing() if blob.name.startswith(f"{ACCOUNT}/")][-1:]
        assert await BlobPayloads(target.blobs, keys).get(ACCOUNT, payload.name.partition("/")[2]) == CONTENT
        with pytest.raises(KeyDestroyed):
            await keys.data_key(ERASED)


async def test_data_keys_go_to_the_account_of_their_own(
    zekt: Zekt, env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    with cosmos(tmp_path / "keys.log") as apart:
        settings = {"ZEKT_COSMOS_KEYS_ENDPOINT": apart["ZEKT_COSMOS_ENDPOINT"]}
        env = env | settings | {"ZEKT_COSMOS_KEYS_KEY": apart["ZEKT_COSMOS_KEY"]}
        assert zekt("provision", **env).returncode == 0
        assert copied(zekt, env)["keys"] == 2
        async with there(env) as target:
            keys = WrappedKeys(CosmosKeyRecords(target.keys.container(KEYS)), FileMasterKey(data_dir / "master.key"))
            assert (await keys.data_key(ACCOUNT)).secret
            assert await CosmosKeyRecords(target.database.container(KEYS)).find(ACCOUNT) is None


async def test_a_copy_goes_on_after_the_master_key_was_rotated(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    async with there(env) as target, open_export(data_dir, READ) as here:
        assert await copy_keys(here, CosmosImport(target.keys)) == 2
    rotated = zekt("keys", "rotate", ZEKT_DATA_DIR=str(data_dir))
    assert rotated.returncode == 0, rotated.stderr
    assert copied(zekt, env)["keys"] == 2
    async with there(env) as target:
        record = await CosmosKeyRecords(target.keys.container(KEYS)).find(ACCOUNT)
        assert record is not None
        assert record.generation == (await FileMasterKey(data_dir / "master.key").generations())[-1].name


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
            relay = Relay(store, beside.bus, views, CosmosLeases(views), topic="ingress", translate=as_it_is)
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


async def test_events_that_take_more_on_their_way_than_in_the_store_are_copied_in_parts(
    zekt: Zekt, env: dict[str, str], tmp_path: Path
) -> None:
    async with open_backend(tmp_path / "data", "ingress", clock=MinutesPass()) as backend:
        for n in range(3):
            await backend.store.append("thing/1", [noted(n, '"' * 200_000)], expected_version=n)
        page = await backend.store.read_feed("all", "", LARGE_PAGE)
    assert copied(zekt, env)["services"][0]["copied"] == 3
    async with there(env) as target:
        assert await target.store("ingress").read("thing/1") == page.events


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
    assert said[-2:] == ["dead letters that stay here: 1 (`zekt dlq` shows them)", "copied, and the same on both sides"]


@pytest.mark.usefixtures("data_dir")
async def test_views_that_a_cut_short_copy_left_and_that_are_no_more_are_removed(
    zekt: Zekt, env: dict[str, str]
) -> None:
    async with there(env) as target:
        await target.views("router").write([Put(partition="due", id="old", body=b"{}")])
        copied(zekt, env)
        assert await target.views("router").get("due", "old") is None
