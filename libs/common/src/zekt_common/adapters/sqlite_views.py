"""The views on SQLite: one table of documents beside the service's events.

A document that has expired is as good as gone from that moment on, and is deleted by the next `purge`.
"""

import json
import secrets
import sqlite3
from collections.abc import Sequence

import msgspec

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.clock import Clock, to_micros, utc_now
from zekt_common.errors import DocumentConflict
from zekt_common.ports.views import ABSENT, ANY, Document, Put, Remove

VIEW_TABLES = """
    CREATE TABLE documents (
        partition TEXT NOT NULL,
        id TEXT NOT NULL,
        etag TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (partition, id)
    ) WITHOUT ROWID, STRICT
"""
VIEW_EXPIRY = """
    ALTER TABLE documents ADD COLUMN expires_at INTEGER;
    CREATE INDEX documents_by_expiry ON documents (expires_at) WHERE expires_at IS NOT NULL
"""
PURGED_PER_COMMIT = 500

_ETAGS = """
    SELECT json_group_array(json_array(wanted.key, etag)) FROM json_each(?) AS wanted
    JOIN documents ON documents.partition = wanted.value ->> 0 AND documents.id = wanted.value ->> 1
    WHERE expires_at IS NULL OR expires_at > ?
"""
_REMOVE = """
    DELETE FROM documents WHERE (partition, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
"""
_PURGE = """
    DELETE FROM documents WHERE (partition, id) IN (
        SELECT partition, id FROM documents WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
_REPLACE = """
    ON CONFLICT (partition, id)
    DO UPDATE SET etag = excluded.etag, body = excluded.body, expires_at = excluded.expires_at
"""
_GET = """
    SELECT etag, body FROM documents
    WHERE partition = ? AND id = ? AND (expires_at IS NULL OR expires_at > ?)
"""

_found = msgspec.json.Decoder(list[tuple[int, str]])

Place = tuple[str, str]


class _Write(msgspec.Struct, frozen=True, gc=False):
    changes: list[Put | Remove]
    now: int


class SqliteViews:
    """The `Views` port over one database file with the tables in `VIEW_TABLES` and `VIEW_EXPIRY`."""

    def __init__(self, database: SqliteDatabase, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def get(self, partition: str, id_: str, /) -> Document | None:
        """Return the document, or None."""
        rows = self._database.query(_GET, (partition, id_, self._now()))
        return Document(partition=partition, id=id_, etag=rows[0][0], body=rows[0][1]) if rows else None

    async def listing(
        self, partition: str, /, *, after: str = "", limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Return documents of the partition in order of id."""
        order, past = ("DESC", "<") if descending else ("ASC", ">")
        bound = f"AND id {past} ?" if after or not descending else "AND ? = ''"
        rows = self._database.query(
            f"SELECT id, etag, body FROM documents WHERE partition = ? {bound} "  # noqa: S608 - constants only
            f"AND (expires_at IS NULL OR expires_at > ?) ORDER BY id {order} LIMIT ?",
            (partition, after, self._now(), limit),
        )
        return [Document(partition=partition, id=id_, etag=etag, body=body) for id_, etag, body in rows]

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        """Apply all changes or none."""
        if not changes:
            return []
        return await self._database.write(_write, _Write(list(changes), self._now()), durable=durable)

    async def purge(self) -> int:
        """Delete what has expired, in commits small enough to let others in between."""
        purged = 0
        while count := await self._database.write(_purge, self._now(), durable=False):
            purged += count
        return purged

    def _now(self) -> int:
        return to_micros(self._clock())


def _write(connection: sqlite3.Connection, batch: Sequence[_Write]) -> list[list[str] | Exception]:
    etags = _present(connection, batch)
    written: dict[Place, tuple[Put | Remove, int]] = {}
    results: list[list[str] | Exception] = []
    for write in batch:
        conflict = _conflict(write.changes, etags)
        if conflict is not None:
            results.append(conflict)
            continue
        new_etags = []
        for change in write.changes:
            place = (change.partition, change.id)
            etags[place] = secrets.token_hex(8) if isinstance(change, Put) else ""
            written[place] = change, write.now
            new_etags.append(etags[place])
        results.append(new_etags)
    _store(connection, written, etags)
    return results


def _present(connection: sqlite3.Connection, batch: Sequence[_Write]) -> dict[Place, str]:
    """Return the ETags of the documents that conditional changes are about."""
    places = [(change.partition, change.id) for write in batch for change in write.changes if change.if_match != ANY]
    if not places:
        return {}
    ((found,),) = connection.execute(_ETAGS, (json.dumps(places), batch[-1].now)).fetchall()
    return {places[index]: etag for index, etag in _found.decode(found)}


def _conflict(changes: Sequence[Put | Remove], etags: dict[Place, str]) -> DocumentConflict | None:
    for change in changes:
        present = etags.get((change.partition, change.id), "")
        wanted = "" if change.if_match == ABSENT else change.if_match
        if change.if_match != ANY and wanted != present:
            return DocumentConflict(f"{change.partition}/{change.id} is not at the expected revision")
    return None


def _store(
    connection: sqlite3.Connection, written: dict[Place, tuple[Put | Remove, int]], etags: dict[Place, str]
) -> None:
    values: list[str | bytes | int | None] = []
    for place, (change, now) in written.items():
        if isinstance(change, Put):
            expires_at = None if change.ttl_s is None else now + change.ttl_s * 1_000_000
            values += (*place, etags[place], change.body, expires_at)
    insert_rows(connection, "INSERT INTO documents (partition, id, etag, body, expires_at)", 5, values, _REPLACE)
    removed = [place for place, (change, _) in written.items() if isinstance(change, Remove)]
    if removed:
        connection.execute(_REMOVE, (json.dumps(removed),))


def _purge(connection: sqlite3.Connection, batch: Sequence[int]) -> list[int]:
    return [connection.execute(_PURGE, (now, PURGED_PER_COMMIT)).rowcount for now in batch]
