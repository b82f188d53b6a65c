"""The one-machine engine: every port on SQLite files below one data directory, with nothing to install.

`{service}.db` holds a service's events and views; the bus, the payloads and the keys have one file each, shared by all
services. Services in one process share each file's writer; services in several processes share the files.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from zekt_common.adapters.backend import Backend, Part
from zekt_common.adapters.file_leases import FileLeases
from zekt_common.adapters.master_key import open_master_key, troubles_of
from zekt_common.adapters.master_key_settings import IN_DATA_DIRECTORY, MasterKeySettings
from zekt_common.adapters.sharing import shared
from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus
from zekt_common.adapters.sqlite_database import Committer, SqliteDatabase
from zekt_common.adapters.sqlite_event_store import EVENT_TABLES, SqliteEventStore
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.adapters.sqlite_payloads import PAYLOAD_TABLES, SqlitePayloads
from zekt_common.adapters.sqlite_stored_schemas import check_readable
from zekt_common.adapters.sqlite_views import VIEW_EXPIRY, VIEW_TABLES, SqliteViews
from zekt_common.adapters.sqlite_writer_process import WriterProcess
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.clock import Clock, utc_now
from zekt_common.errors import StorageUnusable
from zekt_common.stored_schemas import Versions

__all__ = ["Backend", "open_backend"]

KEYS: Final = "keys.db"
"""The file of data keys: where it is, a master key that has gone is not made anew."""

OWN_TABLES = [f"{EVENT_TABLES};{VIEW_TABLES}", VIEW_EXPIRY]
"""The schema of a service's own file, migration by migration."""


@asynccontextmanager
async def open_backend(  # noqa: PLR0913 - the optional ones have defaults that serve one machine
    data_dir: Path,
    service: str,
    *,
    master_key: MasterKeySettings = IN_DATA_DIRECTORY,
    clock: Clock = utc_now,
    writer_process: bool = False,
    read: Versions | None = None,
) -> AsyncIterator[Backend]:
    """Open the service's ports below `data_dir`, creating it on first use (mode 0700).

    With `writer_process` events, views and payloads are committed by another process, one for all services of this one.
    `read` are the events that the service stores and reads; without it, nobody asks whether it could.

    Raises:
        StorageUnusable: the directory or a file in it cannot be used, or holds events that are not among those `read`;
            the message says which and why.
    """
    _make_private(data_dir)
    async with (
        _committer(writer_process=writer_process) as committer,
        _shared(data_dir / f"{service}.db", OWN_TABLES, committer=committer) as own,
        _shared(data_dir / "bus.db", [BUS_TABLES], committer="loop") as bus,
        _shared(data_dir / "payloads.db", [PAYLOAD_TABLES], secure_delete=True, committer=committer) as payloads,
        open_master_key(master_key.within(data_dir, is_made=not (data_dir / KEYS).exists())) as master,
        _shared(data_dir / KEYS, KEY_TABLES, secure_delete=True) as key_file,
    ):
        if read is not None:
            await check_readable(own, read)
        keys = WrappedKeys(SqliteKeyRecords(key_file), master)
        views, on_bus = SqliteViews(own, clock=clock), SqliteBus(bus, clock=clock)
        kept = SqlitePayloads(payloads, keys, clock=clock)
        yield Backend(
            store=SqliteEventStore(own, clock=clock),
            views=views,
            bus=on_bus,
            payloads=kept,
            keys=keys,
            leases=FileLeases(data_dir / "leases"),
            troubles={Part.KEYS: partial(troubles_of, master)},
            expiring={"views": views, "payloads": kept, "dead letters": on_bus},
        )


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnusable(f"ZEKT_DATA_DIR {directory} cannot be used: {error.strerror}") from error


@asynccontextmanager
async def _committer(*, writer_process: bool) -> AsyncIterator[Committer]:
    if writer_process:
        async with shared(WriterProcess, _running_writer) as process:
            yield process
    else:
        yield "thread"


@asynccontextmanager
async def _running_writer() -> AsyncIterator[WriterProcess]:
    process = WriterProcess()
    try:
        yield process
    finally:
        await process.stop()


def _shared(
    path: Path, migrations: Sequence[str], *, secure_delete: bool = False, committer: Committer = "thread"
) -> AbstractAsyncContextManager[SqliteDatabase]:
    return shared(path, lambda: _opened(path, migrations, secure_delete=secure_delete, committer=committer))


@asynccontextmanager
async def _opened(
    path: Path, migrations: Sequence[str], *, secure_delete: bool, committer: Committer
) -> AsyncIterator[SqliteDatabase]:
    database = await SqliteDatabase.open(path, migrations, secure_delete=secure_delete, committer=committer)
    try:
        yield database
    finally:
        await database.close()
