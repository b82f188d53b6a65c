"""A data file that a newer release has written is refused, and one that an older release can read is not."""

import asyncio
import sqlite3
from pathlib import Path
from typing import ClassVar

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import StorageUnusable
from zekt_common.stored_schemas import Versions


class Renamed(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.renamed"
    SCHEMA_VERSION: ClassVar[int] = 2

    name: str = "new"


class RenamedBefore(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.renamed"

    name: str = f'"type":"{Renamed.TYPE}"'


OLD: Versions = {Renamed.TYPE: 1}
NEW: Versions = {Renamed.TYPE: 2}
WITHOUT: Versions = {"dev.zekt.test.other": 1}


async def run(data_dir: Path, release: Versions | None, *events: Event, writer_process: bool = False) -> None:
    """Open the store as this release does, and store the events, each in a stream of its own."""
    async with open_backend(data_dir, "router", read=release, writer_process=writer_process) as backend:
        for event in events:
            page = await backend.store.read_feed("all", "", 1000)
            new = NewEvent(body=event, source="zekt/router", subject="s", correlationid="c", causationid="c")
            await backend.store.append(f"test/{len(page.events)}", [new], expected_version=0)


async def test_a_file_with_a_newer_schema_than_is_read_is_refused_in_one_line(tmp_path: Path) -> None:
    await run(tmp_path, OLD, RenamedBefore())
    await run(tmp_path, NEW, Renamed())
    with pytest.raises(StorageUnusable) as refused:
        await run(tmp_path, OLD)
    assert str(refused.value) == (
        f"{tmp_path}/router.db was written by a newer Zekt: it holds dev.zekt.test.renamed in schema version 2, and "
        "this release of Zekt reads no newer one than 1: install the release that stored it, or a newer one"
    )


@pytest.mark.parametrize("writer_process", [False, True])
async def test_a_file_with_an_event_that_is_not_known_is_refused(tmp_path: Path, *, writer_process: bool) -> None:
    await run(tmp_path, NEW, Renamed(), writer_process=writer_process)
    with pytest.raises(StorageUnusable, match="reads no such event"):
        await run(tmp_path, WITHOUT, writer_process=writer_process)
    await run(tmp_path, NEW, writer_process=writer_process)


async def test_an_upgrade_that_stored_nothing_new_can_be_taken_back_and_made_again(tmp_path: Path) -> None:
    await run(tmp_path, OLD, RenamedBefore())
    await run(tmp_path, NEW, RenamedBefore())
    await run(tmp_path, OLD, RenamedBefore())
    await run(tmp_path, {**WITHOUT, **OLD})
    await run(tmp_path, NEW, Renamed())
    with pytest.raises(StorageUnusable):
        await run(tmp_path, OLD)


async def test_what_a_newer_release_stores_beside_an_older_one_that_was_let_through_is_found_later(
    tmp_path: Path,
) -> None:
    await run(tmp_path, OLD)
    async with open_backend(tmp_path, "router", read=NEW):
        await run(tmp_path, OLD, RenamedBefore())
        await run(tmp_path, None, Renamed())
    with pytest.raises(StorageUnusable):
        await run(tmp_path, OLD)


async def test_what_was_stored_before_the_first_notes_is_looked_at(tmp_path: Path) -> None:
    await run(tmp_path, None, Renamed(), RenamedBefore())
    await run(tmp_path, NEW)
    with pytest.raises(StorageUnusable):
        await run(tmp_path, OLD)


async def test_a_release_that_takes_no_notes_opens_the_file_as_before(tmp_path: Path) -> None:
    await run(tmp_path, NEW)
    before = schema_version(tmp_path)
    await run(tmp_path, None, RenamedBefore())
    assert schema_version(tmp_path) == before


async def test_opening_again_writes_nothing(tmp_path: Path) -> None:
    await run(tmp_path, OLD, RenamedBefore())
    before = (tmp_path / "router.db").read_bytes()
    await run(tmp_path, OLD)
    assert (tmp_path / "router.db").read_bytes() == before


async def test_several_open_it_at_the_same_time(tmp_path: Path) -> None:
    await asyncio.gather(*(run(tmp_path, {**OLD, f"dev.zekt.test.{number}": 1}) for number in range(8)))
    with sqlite3.connect(tmp_path / "router.db") as file:
        noted = {kind for (kind,) in file.execute("SELECT type FROM stored_schemas")}
    assert noted == {Renamed.TYPE, *(f"dev.zekt.test.{number}" for number in range(8))}


def schema_version(data_dir: Path) -> int:
    with sqlite3.connect(data_dir / "router.db") as file:
        version: int = file.execute("PRAGMA user_version").fetchone()[0]
    return version
