"""What the files of keys and payloads hold, and what they no longer hold."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.key_cache import FRESH_S
from zekt_common.adapters.master_key_file import FileMasterKey, ensure_key_file
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_group_commit import GroupCommit, Write
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.adapters.sqlite_payloads import PAYLOAD_TABLES, SqlitePayloads
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.errors import KeyDestroyed, PayloadNotFound, StorageUnusable


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "keys.db", KEY_TABLES, secure_delete=True)
    yield opened
    await opened.close()


def keys_in(database: SqliteDatabase, name: str = "master.key", **options: Any) -> WrappedKeys:
    path = database.path.with_name(name)
    ensure_key_file(path)
    return WrappedKeys(SqliteKeyRecords(database), FileMasterKey(path), **options)


def written(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


@pytest.mark.parametrize("accounts", [1, 500])
async def test_no_file_holds_a_destroyed_key(database: SqliteDatabase, tmp_path: Path, accounts: int) -> None:
    keys = keys_in(database)
    await asyncio.gather(*(keys.data_key(n) for n in range(accounts)))
    wrapped = dict(database.query("SELECT account_id, wrapped FROM data_keys"))
    assert all(key in written(tmp_path) for key in wrapped.values())
    for account_id in range(0, accounts, 50):
        await keys.destroy(account_id)
        left = written(tmp_path)
        assert wrapped[account_id] not in left
        assert wrapped[account_id][-16:] not in left
    assert all((key in left) == (account_id % 50 != 0) for account_id, key in wrapped.items())


async def test_a_destroyed_key_goes_while_other_connections_are_open(database: SqliteDatabase, tmp_path: Path) -> None:
    other = await SqliteDatabase.open(tmp_path / "keys.db", KEY_TABLES, secure_delete=True)
    keys, others = keys_in(database), keys_in(other)
    await keys.data_key(7)
    await others.data_key(8)
    ((wrapped,),) = other.query("SELECT wrapped FROM data_keys WHERE account_id = 7")
    await keys.destroy(7)
    assert wrapped not in written(tmp_path)
    await other.close()


async def test_keys_that_are_destroyed_at_once_are_all_gone(database: SqliteDatabase, tmp_path: Path) -> None:
    keys = keys_in(database)
    await asyncio.gather(*(keys.data_key(n) for n in range(50)))
    wrapped = [row[0] for row in database.query("SELECT wrapped FROM data_keys")]
    await asyncio.gather(*(keys.destroy(n) for n in range(50)))
    left = written(tmp_path)
    assert not any(key in left for key in wrapped)


async def test_a_key_destroyed_elsewhere_is_refused_within_a_minute(database: SqliteDatabase) -> None:
    now = 0.0
    here, elsewhere = keys_in(database, monotonic=lambda: now), keys_in(database)
    await here.data_key(7)
    await elsewhere.destroy(7)
    now = FRESH_S
    assert FRESH_S <= 60
    with pytest.raises(KeyDestroyed):
        await here.data_key(7)


async def test_no_file_holds_a_key_unwrapped(database: SqliteDatabase, tmp_path: Path) -> None:
    key = await keys_in(database).data_key(7)
    assert key.secret not in written(tmp_path)


async def test_another_master_key_is_named_as_the_trouble(database: SqliteDatabase) -> None:
    await keys_in(database).data_key(7)
    with pytest.raises(StorageUnusable, match="another master key"):
        await keys_in(database, "another.key").data_key(7)


async def test_a_key_moved_to_another_account_is_no_key(database: SqliteDatabase) -> None:
    await keys_in(database).data_key(7)
    await database.write(lambda connection, _: [connection.execute("UPDATE data_keys SET account_id = 8").rowcount], 0)
    with pytest.raises(StorageUnusable):
        await keys_in(database).data_key(8)


async def test_no_file_holds_a_payload_in_plain_or_compressed(database: SqliteDatabase, tmp_path: Path) -> None:
    directory = tmp_path / "payloads"
    directory.mkdir()
    file = await SqliteDatabase.open(directory / "payloads.db", [PAYLOAD_TABLES], secure_delete=True)
    content = secrets.token_bytes(4096)
    await SqlitePayloads(file, keys_in(database)).put(7, content)
    assert content[1000:1032] not in written(directory)
    await file.close()


async def test_a_webhook_takes_little_room(database: SqliteDatabase, tmp_path: Path) -> None:
    file = await SqliteDatabase.open(tmp_path / "payloads.db", [PAYLOAD_TABLES], secure_delete=True)
    await SqlitePayloads(file, keys_in(database)).put(7, b'{"workflow_run": {"id": 1}}' * 700)
    ((stored,),) = file.query("SELECT length(body) FROM payloads")
    assert stored < 1000
    await file.close()


async def test_a_damaged_payload_is_told_from_a_missing_one(database: SqliteDatabase, tmp_path: Path) -> None:
    file = await SqliteDatabase.open(tmp_path / "payloads.db", [PAYLOAD_TABLES], secure_delete=True)
    payloads = SqlitePayloads(file, keys_in(database))
    ref = await payloads.put(7, b"x")
    await file.write(
        lambda connection, _: [connection.execute("UPDATE payloads SET body = zeroblob(length(body))").rowcount], 0
    )
    with pytest.raises(PayloadNotFound, match="is damaged"):
        await payloads.get(7, ref.sha256)
    await file.close()


async def test_a_purge_of_many_payloads_lets_others_in_between(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await SqliteDatabase.open(tmp_path / "payloads.db", [PAYLOAD_TABLES], secure_delete=True)
    payloads = SqlitePayloads(file, keys_in(database))
    await asyncio.gather(*(payloads.put(7, b"%d" % n, retention=timedelta(0)) for n in range(1200)))
    commits: list[Any] = []
    commit = GroupCommit.commit

    def counting(group: GroupCommit, writes: Sequence[Write]) -> list[Any]:
        commits.append(writes)
        return commit(group, writes)

    monkeypatch.setattr(GroupCommit, "commit", counting)
    assert await payloads.purge() == 1200
    assert len(commits) == 4
    await file.close()
