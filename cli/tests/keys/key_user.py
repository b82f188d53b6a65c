"""A process that makes, reads and destroys data keys until its input ends, and fails if one is not what it was.

Arguments: the data directory, and the first of its own accounts. It tells of each round.
"""

import asyncio
import sys
from pathlib import Path

from zekt_common.adapters.embedded import KEYS
from zekt_common.adapters.master_key_file import FileMasterKey
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.errors import KeyDestroyed

NEW_EACH_ROUND, READ_EACH_ROUND = 4, 50


async def use(records: SqliteKeyRecords, master: FileMasterKey, known: dict[int, bytes], gone: list[int]) -> None:
    """Make a few, destroy one of them, and read what was made last with no memory of it."""
    keys = WrappedKeys(records, master)
    first = max(known, default=0) + 1
    for account in range(first, first + NEW_EACH_ROUND):
        known[account] = (await keys.data_key(account)).secret
    await keys.destroy(first)
    del known[first]
    gone.append(first)
    again = WrappedKeys(records, master)
    for account in list(known)[-READ_EACH_ROUND:]:
        assert (await again.data_key(account)).secret == known[account]
    for account in gone[-READ_EACH_ROUND:]:
        try:
            await again.data_key(account)
        except KeyDestroyed:
            continue
        raise AssertionError(f"the key of account {account} came back")


async def main(directory: Path, first: int) -> None:
    database = await SqliteDatabase.open(directory / KEYS, KEY_TABLES, secure_delete=True)
    records, master = SqliteKeyRecords(database), FileMasterKey(directory / "master.key")
    known: dict[int, bytes] = {first: (await WrappedKeys(records, master).data_key(first)).secret}
    gone: list[int] = []
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    while not ended.is_set():
        await use(records, master, known, gone)
        sys.stdout.write("round\n")
        sys.stdout.flush()
    for account, secret in known.items():
        assert (await WrappedKeys(records, master).data_key(account)).secret == secret
    await database.close()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
