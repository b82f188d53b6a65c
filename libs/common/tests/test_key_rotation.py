"""Rotation over every store and master key: what is wrapped anew, what stays destroyed, what may be dropped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from libs.common.tests.azure.vault import KEY, certify_vault, connected_to, serving_vault
from libs.common.tests.cosmos.account import open_provisioned

from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.key_rotation import SETTLES_WITHIN, retire, rotate, standing
from zekt_common.adapters.key_wrapping import KeyRecords, MasterKey, WrappedKey, WrongMasterKey
from zekt_common.adapters.keyvault_master_key import open_vault_key
from zekt_common.adapters.master_key_file import FileMasterKey, ensure_key_file
from zekt_common.adapters.master_key_succession import SucceedingMasterKey
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.clock import utc_now
from zekt_common.errors import KeyDestroyed, StorageUnusable
from zekt_sandbox.cosmos import serving

ACCOUNTS = range(100)


@dataclass(frozen=True)
class Stored:
    """Where keys are, and what wraps them."""

    records: KeyRecords
    master: MasterKey

    def keys(self) -> WrappedKeys:
        """Keys that nobody has remembered yet."""
        return WrappedKeys(self.records, self.master)

    async def generation(self) -> str:
        return (await self.master.generations())[-1].name


@pytest.fixture(params=["sqlite and a file", "cosmos and a file", "cosmos and a vault"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stored]:
    async with AsyncExitStack() as stack:
        cosmos, vault = "cosmos" in request.param, "vault" in request.param
        records = await (_in_cosmos(stack) if cosmos else _in_sqlite(stack, tmp_path))
        yield Stored(records, await (_vault(stack, tmp_path) if vault else _file(tmp_path)))


async def _in_sqlite(stack: AsyncExitStack, directory: Path) -> KeyRecords:
    database = await SqliteDatabase.open(directory / "keys.db", KEY_TABLES, secure_delete=True)
    stack.push_async_callback(database.close)
    return SqliteKeyRecords(database)


async def _in_cosmos(stack: AsyncExitStack) -> KeyRecords:
    account = await stack.enter_async_context(serving(key_ranges=2))
    connection = CosmosConnection(endpoint=account.url, key=account.key)
    database = await stack.enter_async_context(open_provisioned(connection))
    return CosmosKeyRecords(database.container(KEYS))


async def _file(directory: Path) -> MasterKey:
    ensure_key_file(directory / "master.key")
    return FileMasterKey(directory / "master.key")


async def _vault(stack: AsyncExitStack, directory: Path) -> MasterKey:
    certificate = certify_vault(directory)
    vault = await stack.enter_async_context(serving_vault(certificate))
    vault.add_version(KEY)
    connection = await stack.enter_async_context(connected_to(vault.port, certificate.path))
    return await stack.enter_async_context(open_vault_key(connection))


async def secrets_of(keys: WrappedKeys, accounts: range = ACCOUNTS) -> dict[int, bytes]:
    found = await asyncio.gather(*(keys.data_key(account) for account in accounts))
    return {account: key.secret for account, key in zip(accounts, found, strict=True)}


async def test_every_key_is_wrapped_anew_and_opens_as_before(stored: Stored) -> None:
    made = await secrets_of(stored.keys())
    before = await stored.generation()
    done = await rotate(stored.records, stored.master)
    assert (done.rewrapped, done.unopened, done.under_others, done.resumed) == (len(ACCOUNTS), 0, {}, False)
    assert done.generation == await stored.generation() != before
    assert await secrets_of(stored.keys()) == made


async def test_a_second_rotation_makes_a_generation_of_its_own(stored: Stored) -> None:
    made = await secrets_of(stored.keys(), range(3))
    first = await rotate(stored.records, stored.master)
    second = await rotate(stored.records, stored.master)
    assert first.generation != second.generation
    assert (second.rewrapped, second.resumed) == (3, False)
    assert await secrets_of(stored.keys(), range(3)) == made


async def test_a_generation_that_is_there_already_is_used_before_another_is_made(stored: Stored) -> None:
    await secrets_of(stored.keys(), range(3))
    await stored.master.renew()
    waiting = await stored.generation()
    await stored.keys().data_key(3)
    done = await rotate(stored.records, stored.master)
    assert (done.generation, done.resumed, done.rewrapped) == (waiting, True, 3)


async def test_a_destroyed_key_stays_destroyed(stored: Stored) -> None:
    keys = stored.keys()
    await secrets_of(keys, range(4))
    await keys.destroy(2)
    assert (await rotate(stored.records, stored.master)).rewrapped == 3
    with pytest.raises(KeyDestroyed):
        await stored.keys().data_key(2)


async def test_a_key_that_is_destroyed_while_it_is_wrapped_anew_never_comes_back(stored: Stored) -> None:
    await stored.keys().data_key(7)
    known = await stored.records.find(7)
    assert known is not None
    await stored.keys().destroy(7)
    await stored.master.renew()
    generation, wrapped = await stored.master.wrap(b"s" * 32, known.binding)
    anew = msgspec.structs.replace(known, generation=generation, wrapped=wrapped)
    assert not await stored.records.replace(known, anew)
    with pytest.raises(KeyDestroyed):
        await stored.keys().data_key(7)


async def test_keys_are_made_used_and_destroyed_while_others_are_wrapped_anew(stored: Stored) -> None:
    kept = await secrets_of(stored.keys())
    erased = range(1000, 1050)
    await secrets_of(stored.keys(), erased)

    async def live() -> dict[int, bytes]:
        keys = stored.keys()
        await asyncio.gather(*(keys.destroy(account) for account in erased))
        return await secrets_of(keys, range(2000, 2050)) | await secrets_of(keys)

    (seen, *_) = await asyncio.gather(live(), *(rotate(stored.records, stored.master) for _ in range(2)))
    await rotate(stored.records, stored.master)
    assert (await standing(stored.records, stored.master)).under_others == {}
    assert await secrets_of(stored.keys(), range(2000, 2050)) | await secrets_of(stored.keys()) == seen
    assert seen.items() >= kept.items()
    for account in erased:
        with pytest.raises(KeyDestroyed):
            await stored.keys().data_key(account)


async def test_what_was_stored_before_there_were_generations_is_wrapped_anew(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stored = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        unnamed = WrappedKey(7, "k", b"")
        _, wrapped = await stored.master.wrap(b"s" * 32, unnamed.binding)
        await stored.records.add(msgspec.structs.replace(unnamed, wrapped=wrapped))
        assert (await stored.keys().data_key(7)).secret == b"s" * 32
        done = await rotate(stored.records, stored.master)
        assert (done.resumed, done.rewrapped, done.under_others) == (False, 1, {})
        assert (await stored.keys().data_key(7)).secret == b"s" * 32


async def test_a_key_that_does_not_open_is_told_and_holds_up_no_other(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stored = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        await stored.records.add(WrappedKey(1, "k", b"lost", "0123456789abcdef"))
        await secrets_of(stored.keys(), range(2, 5))
        done = await rotate(stored.records, stored.master)
        assert (done.rewrapped, done.unopened, done.under_others) == (3, 1, {"0123456789abcdef": 1})
        with pytest.raises(StorageUnusable, match=r"another master key \(generation 0123456789abcdef in .*\)"):
            await stored.keys().data_key(1)


async def test_another_master_key_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stored = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        await stored.keys().data_key(7)
        (tmp_path / "other").mkdir()
        other = await _file(tmp_path / "other")
        with pytest.raises(WrongMasterKey, match="was written under another master key"):
            await rotate(stored.records, other)
        assert len(await other.generations()) == 1


async def test_keys_move_from_a_file_to_a_vault(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        before = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        made = await secrets_of(before.keys(), range(5))
        after = Stored(before.records, await _vault(stack, tmp_path))
        both = SucceedingMasterKey(after.master, before.master)
        done = await rotate(before.records, both, adds=False)
        assert (done.rewrapped, done.unopened, done.under_others) == (5, 0, {})
        assert done.generation == await after.generation()
        assert (await rotate(before.records, both, adds=False)).rewrapped == 0
        assert await secrets_of(after.keys(), range(5)) == made


async def test_a_generation_is_dropped_once_nothing_is_wrapped_under_it(stored: Stored) -> None:
    made = await secrets_of(stored.keys(), range(3))
    before = await stored.generation()
    await rotate(stored.records, stored.master)
    later = utc_now() + SETTLES_WITHIN
    done = await retire(stored.records, stored.master, now=later)
    assert (done.retired, done.kept) == ([before], {})
    assert [each.name for each in await stored.master.generations()] == [done.generation]
    assert await secrets_of(stored.keys(), range(3)) == made
    assert (await retire(stored.records, stored.master, now=later)).retired == []


async def test_a_generation_that_is_still_needed_is_kept(stored: Stored) -> None:
    await secrets_of(stored.keys(), range(3))
    before = await stored.generation()
    await stored.master.renew()
    done = await retire(stored.records, stored.master, now=utc_now() + SETTLES_WITHIN)
    assert (done.retired, done.kept) == ([], {before: 3})
    assert len(await stored.master.generations()) == 2


async def test_nothing_is_dropped_before_the_new_generation_has_settled(stored: Stored) -> None:
    await rotate(stored.records, stored.master)
    done = await retire(stored.records, stored.master, now=utc_now() + SETTLES_WITHIN - timedelta(minutes=1))
    assert done.retired == []
    assert done.settles_at is not None
    assert len(await stored.master.generations()) == 2


async def test_nothing_is_dropped_while_a_key_names_no_generation(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stored = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        await stored.records.add(WrappedKey(1, "k", b"wrapped"))
        await stored.master.renew()
        done = await retire(stored.records, stored.master, now=utc_now() + SETTLES_WITHIN)
        assert (done.retired, done.kept) == ([], {"": 1})


async def test_nothing_is_dropped_while_a_key_names_a_generation_by_another_name(tmp_path: Path) -> None:
    """A vault that has moved calls its versions otherwise, and opens what was wrapped before by them."""
    async with AsyncExitStack() as stack:
        records, master = await _in_sqlite(stack, tmp_path), await _vault(stack, tmp_path)
        made = await WrappedKeys(records, master).data_key(7)
        record = await records.find(7)
        assert record is not None
        elsewhere = f"https://moved.vault.azure.net/keys/{KEY}/{record.generation.rpartition('/')[2]}"
        assert await records.replace(record, msgspec.structs.replace(record, generation=elsewhere))
        await master.renew()
        done = await retire(records, master, now=utc_now() + SETTLES_WITHIN)
        assert (done.retired, done.kept) == ([], {elsewhere: 1})
        assert await WrappedKeys(records, master).data_key(7) == made


async def test_no_file_holds_a_key_as_it_was_wrapped_before(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stored = Stored(await _in_sqlite(stack, tmp_path), await _file(tmp_path))
        await secrets_of(stored.keys())
        generation = "another"
        before = [record.wrapped async for record in stored.records.under_others(generation)]
        assert all(wrapped in _written(tmp_path) for wrapped in before)
        await rotate(stored.records, stored.master)
        left = _written(tmp_path)
        assert not any(wrapped in left or wrapped[-16:] in left for wrapped in before)


def _written(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.glob("keys.db*")))
