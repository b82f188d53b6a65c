"""Rotation while other processes make, read and destroy keys, and after one that was killed in the middle."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cli.tests.conftest import Zekt, environment

from zekt_common.adapters.embedded import open_backend

pytestmark = pytest.mark.slow

USER = Path(__file__).with_name("key_user.py")
MANY = 4000
WITHIN_S = 120
ROUNDS = 5


@pytest.fixture
async def users(data_dir: Path) -> AsyncIterator[list[Process]]:
    """Two processes that are using keys."""
    begun = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(USER), str(data_dir), str(first), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        for first in (1_000_000, 2_000_000)
    ]
    yield begun
    for process in begun:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def rounds(process: Process) -> None:
    """Wait until the process has used keys for a while."""
    assert process.stdout is not None
    for _ in range(ROUNDS):
        assert await process.stdout.readline() == b"round\n", await process.communicate()


async def end(process: Process) -> None:
    _, said = await process.communicate(b"")  # its input ends
    assert process.returncode == 0, said.decode()


def rotate(zekt: Zekt, data_dir: Path) -> dict[str, Any]:
    ended = zekt("keys", "rotate", "--json", ZEKT_DATA_DIR=str(data_dir))
    assert ended.returncode == 0, ended.stderr
    done: dict[str, Any] = json.loads(ended.stdout)
    return done


async def test_nobody_notices_a_rotation(zekt: Zekt, data_dir: Path, users: list[Process]) -> None:
    async with asyncio.timeout(WITHIN_S):
        generations = set[str]()
        for _ in range(3):
            await asyncio.gather(*map(rounds, users))
            done = await asyncio.to_thread(rotate, zekt, data_dir)
            assert done["unopened"] == 0
            generations.add(done["generation"])
        await asyncio.gather(*map(rounds, users))
        await asyncio.gather(*map(end, users))
    assert len(generations) == 3
    assert set(wrapped_under(data_dir)) == {done["generation"]}


async def test_a_rotation_that_was_killed_is_gone_on_with(zekt: Zekt, data_dir: Path, users: list[Process]) -> None:
    async with asyncio.timeout(WITHIN_S):
        await fill(data_dir)
        await asyncio.gather(*map(rounds, users))
        before = set(wrapped_under(data_dir))
        await asyncio.to_thread(killed_in_the_middle, data_dir)
        assert len(wrapped_under(data_dir)) == 2
        await asyncio.gather(*map(rounds, users))
        done = await asyncio.to_thread(rotate, zekt, data_dir)
        await asyncio.gather(*map(end, users))
    assert done["resumed"]
    assert done["rewrapped"] > 0
    assert set(wrapped_under(data_dir)) == {done["generation"]} != before
    assert len((data_dir / "master.key").read_bytes()) == 64


async def fill(data_dir: Path) -> None:
    async with open_backend(data_dir, "identity") as backend:
        await asyncio.gather(*(backend.keys.data_key(account) for account in range(10, 10 + MANY)))


def killed_in_the_middle(data_dir: Path) -> None:
    """Start a rotation, and kill it once a part of the keys is wrapped anew."""
    command = [sys.executable, "-m", "zekt_cli", "keys", "rotate"]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, env=environment(ZEKT_DATA_DIR=str(data_dir)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while len(wrapped_under(data_dir)) == 1:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)


def wrapped_under(data_dir: Path) -> dict[str, int]:
    query = "SELECT generation, count(*) FROM data_keys WHERE key_id != '' GROUP BY generation"
    with contextlib.closing(sqlite3.connect(data_dir / "keys.db")) as connection:
        return dict(connection.execute(query).fetchall())
