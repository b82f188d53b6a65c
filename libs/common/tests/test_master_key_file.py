"""The master key's file: who may read it, what its generations open, and how it changes under those who use it."""

import asyncio
import multiprocessing
import os
from pathlib import Path

import pytest

from zekt_common.adapters.key_wrapping import WrongMasterKey
from zekt_common.adapters.master_key import open_master_key, troubles_of
from zekt_common.adapters.master_key_file import NO_STRANGERS, FileMasterKey, ensure_key_file
from zekt_common.adapters.master_key_settings import MasterKeySettings
from zekt_common.errors import SettingsError, StorageUnusable
from zekt_common.kit.settings import EnvironmentReader

SECRET, BINDING = b"s" * 32, b"account 7"
RENEWALS = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ensure_key_file(tmp_path / "master.key")
    return tmp_path / "master.key"


async def names(key: FileMasterKey) -> list[str]:
    return [generation.name for generation in await key.generations()]


def renew(path: Path) -> None:
    asyncio.run(FileMasterKey(path).renew())


def permit(path: Path, mode: int) -> None:
    path.chmod(mode)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def owner_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


async def test_the_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "zekt" / "master.key"
    await asyncio.gather(*(asyncio.to_thread(ensure_key_file, path) for _ in range(16)))
    assert len(content(path)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["master.key"]


@pytest.mark.parametrize("mode", [0o601, 0o604, 0o602, 0o664, 0o666])
async def test_a_file_that_is_open_to_others_is_refused(path: Path, mode: int) -> None:
    permit(path, mode)
    with pytest.raises(StorageUnusable, match=rf"is open to others \(mode {mode:04o}\): run `chmod 600 ") as refused:
        await FileMasterKey(path).wrap(SECRET, BINDING)
    assert "\n" not in str(refused.value)


async def test_a_file_on_a_volume_that_was_given_to_our_group_goes_on_being_used(path: Path) -> None:
    permit(path, 0o660)
    await FileMasterKey(path).check()


async def test_a_mounted_file_may_be_read_by_its_group_and_by_nobody_else(path: Path) -> None:
    permit(path, 0o440)
    await FileMasterKey(path, forbidden=NO_STRANGERS).check()
    permit(path, 0o444)
    with pytest.raises(StorageUnusable, match="open to others"):
        await FileMasterKey(path, forbidden=NO_STRANGERS).check()


async def test_a_file_that_is_opened_to_others_later_is_refused_then(path: Path) -> None:
    key = FileMasterKey(path)
    await key.check()
    permit(path, 0o644)
    assert "open to others" in (await troubles_of(key))[0]
    permit(path, 0o600)
    assert await troubles_of(key) == []


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(33)])
async def test_a_damaged_file_is_refused(path: Path, damaged: bytes) -> None:
    write(path, damaged)
    with pytest.raises(StorageUnusable, match="does not hold a master key"):
        await FileMasterKey(path).check()


async def test_a_file_that_has_gone_is_told_before_anything_is_wrapped(path: Path) -> None:
    key = FileMasterKey(path)
    generation, wrapped = await key.wrap(SECRET, BINDING)
    remove(path)
    with pytest.raises(StorageUnusable, match=r"master\.key cannot be used: No such file"):
        await key.wrap(SECRET, BINDING)
    assert await key.unwrap(generation, wrapped, BINDING) == SECRET


async def test_every_generation_opens_what_it_wrapped(path: Path) -> None:
    key = FileMasterKey(path)
    first = await key.wrap(SECRET, BINDING)
    await key.renew()
    second = await key.wrap(SECRET, BINDING)
    assert await names(key) == [first[0], second[0]]
    for generation, wrapped in (first, second):
        assert await key.unwrap(generation, wrapped, BINDING) == SECRET
        assert await key.unwrap("", wrapped, BINDING) == SECRET


async def test_a_process_that_runs_notices_a_new_generation(path: Path) -> None:
    running = FileMasterKey(path)
    await running.check()
    await asyncio.to_thread(renew, path)
    generation, wrapped = await FileMasterKey(path).wrap(SECRET, BINDING)
    assert await running.unwrap(generation, wrapped, BINDING) == SECRET
    assert (await running.wrap(SECRET, BINDING))[0] == generation


async def test_a_generation_keeps_its_name_wherever_it_lies(path: Path, tmp_path: Path) -> None:
    key = FileMasterKey(path)
    await key.renew()
    old, new = content(path)[:32], content(path)[32:]
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_bytes(new + old)
    assert await names(FileMasterKey(other)) == list(reversed(await names(key)))


async def test_what_is_bound_to_one_account_does_not_open_for_another(path: Path) -> None:
    key = FileMasterKey(path)
    generation, wrapped = await key.wrap(SECRET, BINDING)
    with pytest.raises(WrongMasterKey):
        await key.unwrap(generation, wrapped, b"account 8")


async def test_a_retired_generation_opens_nothing(path: Path) -> None:
    key = FileMasterKey(path)
    generation, wrapped = await key.wrap(SECRET, BINDING)
    await key.renew()
    await key.retire([generation])
    assert len(content(path)) == 32
    with pytest.raises(WrongMasterKey, match=f"generation {generation}"):
        await FileMasterKey(path).unwrap(generation, wrapped, BINDING)


@pytest.mark.slow
def test_processes_that_renew_at_once_lose_no_generation(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(renew, [path] * RENEWALS)
    assert len(content(path)) == 32 * (1 + RENEWALS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == ["master.key", "master.key.lock"]


async def test_a_file_that_is_renewed_by_root_stays_its_owners(path: Path) -> None:
    owner = (1234, 1234) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    await FileMasterKey(path).renew()
    assert owner_of(path) == owner


async def test_the_file_behind_a_link_is_renewed_and_the_link_stays(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(path)
    await FileMasterKey(link).renew()
    assert link.is_symlink()
    assert len(content(path)) == 64


def read(env: dict[str, str], *, shared: bool) -> MasterKeySettings:
    reader = EnvironmentReader(env)
    settings = MasterKeySettings.read(reader, shared=shared)
    reader.check()
    return settings


def test_one_machine_needs_no_setting(tmp_path: Path) -> None:
    settings = read({}, shared=False).within(tmp_path, is_made=True)
    assert (settings.file, settings.is_made) == (tmp_path / "master.key", True)


async def test_a_file_that_is_named_is_used_and_never_made(path: Path, tmp_path: Path) -> None:
    settings = read({"ZEKT_MASTER_KEY_FILE": str(path)}, shared=False).within(tmp_path / "data", is_made=True)
    async with open_master_key(settings) as key:
        assert isinstance(key, FileMasterKey)
    assert not (tmp_path / "data").exists()
    with pytest.raises(SettingsError, match=r"ZEKT_MASTER_KEY_FILE is unusable: .*absent\.key cannot be used: No such"):
        read({"ZEKT_MASTER_KEY_FILE": str(tmp_path / "absent.key")}, shared=False)


@pytest.mark.parametrize("shared", [True, False])
def test_a_file_and_a_vault_are_a_contradiction(path: Path, *, shared: bool) -> None:
    env = {"ZEKT_MASTER_KEY_FILE": str(path), "ZEKT_KEYVAULT_URL": "https://zekt.vault.azure.net"}
    with pytest.raises(SettingsError) as refused:
        read(env, shared=shared)
    assert str(refused.value) == "ZEKT_MASTER_KEY_FILE is set, and so is ZEKT_KEYVAULT_URL: keep one of them"


def test_a_shared_engine_needs_one_of_them() -> None:
    with pytest.raises(SettingsError) as refused:
        read({}, shared=True)
    assert str(refused.value) == "ZEKT_MASTER_KEY_FILE is not set, nor is ZEKT_KEYVAULT_URL: one of them is needed"


@pytest.mark.parametrize(
    ("url", "vault", "key"),
    [
        ("https://zekt.vault.azure.net", "https://zekt.vault.azure.net", "zekt"),
        ("https://zekt.vault.azure.net/", "https://zekt.vault.azure.net", "zekt"),
        ("https://zekt.vault.azure.net/keys/master", "https://zekt.vault.azure.net", "master"),
    ],
)
def test_a_vault_is_named_with_or_without_its_key(url: str, vault: str, key: str) -> None:
    settings = read({"ZEKT_KEYVAULT_URL": url}, shared=True)
    assert (settings.vault_url, settings.vault_key) == (vault, key)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:8080", "must be an https URL"),
        ("https://zekt.vault.azure.net/keys/master/0123", "no version"),
        ("https://zekt.vault.azure.net/secrets/master", "must be a vault's URL, or that of a key"),
    ],
)
def test_another_url_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        read({"ZEKT_KEYVAULT_URL": url}, shared=True)
    assert str(refused.value).startswith("ZEKT_KEYVAULT_URL ")
