import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from cli.tests.conftest import Zekt
from cli.tests.test_provision import EMULATOR, cosmos

from tests.ports import free_port
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.cosmos_client import open_cosmos
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.embedded import open_backend
from zekt_common.adapters.key_rotation import SETTLES_WITHIN
from zekt_common.adapters.master_key_file import FileMasterKey
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_identity.sealing import Sealer


def told(zekt: Zekt, *arguments: str, **env: str) -> dict[str, Any]:
    ended = zekt("keys", *arguments, "--json", **env)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def settle(master_key: Path) -> None:
    """Let the newest generation be as old as it must be."""
    earlier = time.time() - SETTLES_WITHIN.total_seconds()
    os.utime(master_key, (earlier, earlier))


async def test_what_was_sealed_before_a_rotation_opens_after_the_old_generation_has_gone(
    zekt: Zekt, data_dir: Path
) -> None:
    where = {"ZEKT_DATA_DIR": str(data_dir)}
    async with open_backend(data_dir, "identity") as backend:
        sealed = await Sealer(backend.keys).seal(-7, "user tokens", b"a person's token")
        payload = await backend.payloads.put(1, b"what GitHub sent")
    before = told(zekt, "status", **where)
    done = told(zekt, "rotate", **where)
    assert (done["rewrapped"], done["unopened"], done["underOthers"]) == (before["wrapped"], 0, {})
    settle(data_dir / "master.key")
    assert told(zekt, "retire", **where)["retired"] == [before["generation"]]
    assert told(zekt, "status", **where)["generations"] == [done["generation"]]
    async with open_backend(data_dir, "identity") as backend:
        assert await Sealer(backend.keys).open(-7, "user tokens", sealed) == b"a person's token"
        assert await backend.payloads.get(1, payload.sha256) == b"what GitHub sent"


def test_people_are_told_in_words(zekt: Zekt, data_dir: Path) -> None:
    where = {"ZEKT_DATA_DIR": str(data_dir)}
    assert zekt("keys", "status", **where).stdout.endswith("3 data keys, and every new one\n")
    said = zekt("keys", "rotate", **where).stdout
    assert "(new): 3 data keys wrapped under it" in said
    settle(data_dir / "master.key")
    assert zekt("keys", "retire", **where).stdout.startswith("retired: ")


def test_a_generation_that_has_just_been_made_keeps_the_one_before(zekt: Zekt, data_dir: Path) -> None:
    where = {"ZEKT_DATA_DIR": str(data_dir)}
    told(zekt, "rotate", **where)
    ended = zekt("keys", "retire", **where)
    assert ended.returncode == 1
    assert "the newest generation is too new" in ended.stderr
    assert len(told(zekt, "status", **where)["generations"]) == 2


def test_a_generation_made_by_hand_is_used_without_another(zekt: Zekt, data_dir: Path) -> None:
    with (data_dir / "master.key").open("ab") as file:
        file.write(os.urandom(32))
    done = told(zekt, "rotate", "--rewrap-only", ZEKT_DATA_DIR=str(data_dir))
    assert (done["resumed"], done["rewrapped"]) == (True, 3)
    assert len((data_dir / "master.key").read_bytes()) == 64


def test_a_directory_without_keys_is_refused_and_left_empty(zekt: Zekt, tmp_path: Path) -> None:
    ended = zekt("keys", "rotate", "--data-dir", tmp_path / "empty")
    assert ended.returncode == 2
    assert "holds no suite's keys" in ended.stderr
    assert not (tmp_path / "empty").exists()


def test_a_master_key_that_has_gone_is_not_made_anew(zekt: Zekt, data_dir: Path) -> None:
    (data_dir / "master.key").unlink()
    ended = zekt("keys", "rotate", ZEKT_DATA_DIR=str(data_dir))
    assert ended.returncode == 1
    assert "master.key cannot be used: No such file" in ended.stderr
    assert not (data_dir / "master.key").exists()


def test_another_master_key_is_refused_in_one_line(zekt: Zekt, data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_bytes(bytes(32))
    ended = zekt("keys", "rotate", ZEKT_DATA_DIR=str(data_dir), ZEKT_MASTER_KEY_FILE=str(other))
    assert ended.returncode == 1
    assert "was written under another master key" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert other.read_bytes() == bytes(32)


def test_keys_move_from_one_master_key_to_another(zekt: Zekt, data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_bytes(bytes(32))
    where = {"ZEKT_DATA_DIR": str(data_dir), "ZEKT_MASTER_KEY_FILE": str(other)}
    assert told(zekt, "rotate", "--from-file", str(data_dir / "master.key"), **where)["rewrapped"] == 3
    (data_dir / "master.key").unlink()
    found = told(zekt, "status", **where)
    assert (found["wrapped"], found["underOthers"]) == (3, {})
    assert other.read_bytes() == bytes(32)


def test_a_vault_out_of_reach_is_named(zekt: Zekt, data_dir: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    ended = zekt("keys", "rotate", ZEKT_DATA_DIR=str(data_dir), ZEKT_KEYVAULT_URL=url)
    assert ended.returncode == 3
    assert ended.stderr.startswith("zekt: ZEKT_KEYVAULT_URL: the vault cannot be reached")
    assert ended.stderr.count("\n") == 1


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings that lead to a Cosmos DB account; nothing asks the other services."""
    with cosmos(tmp_path / "cosmos.log") as account:
        yield account | {
            "ZEKT_BACKEND": "azure",
            "ZEKT_SERVICEBUS_CONNECTION": EMULATOR,
            "ZEKT_BLOB_CONNECTION": "AccountName=zekt;AccountKey=c2VjcmV0",
        }


async def test_keys_on_azure_are_wrapped_anew(zekt: Zekt, azure: dict[str, str], data_dir: Path) -> None:
    env = azure | {"ZEKT_DATA_DIR": str(data_dir)}
    async with connections(AzureSettings.from_env(azure)) as ways, open_cosmos(ways.cosmos) as database:
        await database.client.create_database_if_not_exists(database.proxy.id)
        await database.proxy.create_container_if_not_exists(KEYS, PartitionKey("/id"))
        records = CosmosKeyRecords(database.container(KEYS))
        made = [await WrappedKeys(records, FileMasterKey(data_dir / "master.key")).data_key(n) for n in range(40)]
        assert told(zekt, "rotate", **env)["rewrapped"] == 40
        assert told(zekt, "status", **env)["wrapped"] == 40
        keys = WrappedKeys(records, FileMasterKey(data_dir / "master.key"))
        assert [await keys.data_key(n) for n in range(40)] == made
