"""A data directory read as it lies on the disk, for another engine to take over; no service may be running on it."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from zekt_common.adapters.embedded import OWN_TABLES
from zekt_common.adapters.key_wrapping import WrappedKey
from zekt_common.adapters.sqlite_bus import BUS_TABLES
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_event_store import SqliteEventStore
from zekt_common.adapters.sqlite_keys import KEY_TABLES
from zekt_common.adapters.sqlite_payloads import PAYLOAD_TABLES
from zekt_common.adapters.sqlite_stored_schemas import check_readable
from zekt_common.adapters.sqlite_views import SqliteViews
from zekt_common.envelope import Envelope, decode
from zekt_common.stored_schemas import Versions

_DOCUMENTS_PAGE = 500
_MESSAGES_PAGE = 500
_PAYLOADS_PAGE = 20

_DOCUMENTS = """
    SELECT partition, id, body, expires_at FROM documents
    WHERE (partition, id) > (?, ?) AND (expires_at IS NULL OR expires_at > ?) ORDER BY partition, id LIMIT ?
"""
_PAYLOADS = """
    SELECT id, account_id, sha256, expires_at, body FROM payloads
    WHERE id > ? AND expires_at > ? ORDER BY id LIMIT ?
"""
_UNSETTLED = "SELECT sequence, body FROM messages WHERE sequence > ? AND subscription LIKE ? ORDER BY sequence LIMIT ?"


class StoredDocument(msgspec.Struct, frozen=True):
    """A document of the views; `expires_at` is in microseconds."""

    partition: str
    id: str
    body: bytes
    expires_at: int | None


class StoredPayload(msgspec.Struct, frozen=True):
    """A payload, compressed and sealed under its account's data key; `expires_at` is in microseconds."""

    account_id: int
    sha256: str
    expires_at: int
    body: bytes


class SqliteExport:
    """The open files of a data directory."""

    def __init__(
        self, own: dict[str, SqliteDatabase], bus: SqliteDatabase, payloads: SqliteDatabase, keys: SqliteDatabase
    ) -> None:
        self._own, self._bus, self._payloads, self._keys = own, bus, payloads, keys

    def store(self, service: str) -> SqliteEventStore:
        """Return the service's events."""
        return SqliteEventStore(self._own[service])

    def views(self, service: str) -> SqliteViews:
        """Return the service's views."""
        return SqliteViews(self._own[service])

    def documents(self, service: str, *, without: Collection[str], now: int) -> Iterator[StoredDocument]:
        """Yield the service's documents that have not expired, but for these partitions, in order of their places."""
        place = ("", "")
        while rows := self._own[service].query(_DOCUMENTS, (*place, now, _DOCUMENTS_PAGE)):
            yield from (StoredDocument(*row) for row in rows if row[0] not in without)
            place = rows[-1][:2]

    def keys(self) -> Sequence[WrappedKey]:
        """Return all data keys, destroyed ones too."""
        rows = self._keys.query("SELECT account_id, key_id, wrapped, generation FROM data_keys ORDER BY account_id")
        return [WrappedKey(*row) for row in rows]

    def payloads(self, *, now: int) -> Iterator[StoredPayload]:
        """Yield the payloads that have not expired, sealed as they are."""
        last = 0
        while rows := self._payloads.query(_PAYLOADS, (last, now, _PAYLOADS_PAGE)):
            yield from (StoredPayload(*row[1:]) for row in rows)
            last = rows[-1][0]

    def count_payloads(self, *, now: int) -> int:
        """Return how many payloads have not expired."""
        ((count,),) = self._payloads.query("SELECT count(*) FROM payloads WHERE expires_at > ?", (now,))
        return int(count)

    def unsettled(self, topic: str) -> Iterator[Envelope]:
        """Yield what waits in the topic's subscriptions, retries and locked messages included."""
        last = 0
        while rows := self._bus.query(_UNSETTLED, (last, f"{topic}/%", _MESSAGES_PAGE)):
            yield from (decode(body) for _, body in rows)
            last = rows[-1][0]

    def count_dead_letters(self) -> int:
        """Return how many messages were given up."""
        ((count,),) = self._bus.query("SELECT count(*) FROM dead_letters")
        return int(count)


@asynccontextmanager
async def open_export(data_dir: Path, read: Mapping[str, Versions]) -> AsyncIterator[SqliteExport]:
    """Open the files below `data_dir`, bringing them to the newest schema; `read` are the events of each service.

    Raises:
        StorageUnusable: a file cannot be read, is no Zekt database, or is newer than this program.
    """
    async with AsyncExitStack() as stack:

        async def opened(name: str, *tables: str, secure_delete: bool = False) -> SqliteDatabase:
            database = await SqliteDatabase.open(data_dir / f"{name}.db", tables, secure_delete=secure_delete)
            stack.push_async_callback(database.close)
            return database

        own = {service: await opened(service, *OWN_TABLES) for service in read}
        for service, versions in read.items():
            await check_readable(own[service], versions)
        yield SqliteExport(
            own=own,
            bus=await opened("bus", BUS_TABLES),
            payloads=await opened("payloads", PAYLOAD_TABLES, secure_delete=True),
            keys=await opened("keys", *KEY_TABLES, secure_delete=True),
        )
