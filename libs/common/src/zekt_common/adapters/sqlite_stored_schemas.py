"""The schemas in which events may be stored in a file, noted beside them before a release stores any.

The notes have a table of their own and are no migration, so that a release that knows nothing of them opens the file as
before. They are never taken back, since releases may take turns, or run side by side while one replaces the other.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.envelope import decode
from zekt_common.errors import StorageUnusable
from zekt_common.stored_schemas import Newer, Noted, Versions, newer_than, unreadable

_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS stored_schemas (
        type TEXT NOT NULL,
        version INTEGER NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (type, version)
    ) STRICT
"""
_NOTE: Final = "INSERT INTO stored_schemas (type, version, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_LOOKED_AT: Final = "UPDATE stored_schemas SET since = ? WHERE type = ? AND version > ? AND since < ?"
_OF_TYPE: Final = "SELECT body FROM events WHERE position > ? AND instr(body, ?) ORDER BY position"


async def check_readable(database: SqliteDatabase, read: Versions) -> None:
    """Note what a release that reads these versions may store, if it can read what is stored.

    Raises:
        StorageUnusable: it cannot, and nothing was noted; or the file cannot be used.
    """
    if (refusal := await database.write(_checked, read)) is not None:
        raise StorageUnusable(f"{database.path} was written by a newer Zekt: it holds {refusal}")


def _checked(connection: sqlite3.Connection, batch: Sequence[Versions]) -> list[str | None]:
    connection.execute(_TABLE)
    return [_noted_unless_refused(connection, read) for read in batch]


def _noted_unless_refused(connection: sqlite3.Connection, read: Versions) -> str | None:
    refusal = _refusal(connection, read)
    if refusal is None:
        _note(connection, read)
    return refusal


def _refusal(connection: sqlite3.Connection, read: Versions) -> str | None:
    for newer in newer_than(read, _noted(connection)):
        version = _stored_above(connection, newer)
        if version is not None:
            return unreadable(newer, version)
    return None


def _note(connection: sqlite3.Connection, read: Versions) -> None:
    """Note these versions, and that nothing newer is stored so far: the next one to look begins here."""
    ((head,),) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchall()
    noted = _noted(connection)
    since = head if noted else 0  # nobody took notes of what was stored before the first ones
    connection.executemany(_NOTE, [(kind, version, since) for kind, version in read.items()])
    connection.executemany(_LOOKED_AT, [(head, newer.kind, newer.known, head) for newer in newer_than(read, noted)])


def _noted(connection: sqlite3.Connection) -> Noted:
    noted: dict[str, dict[int, int]] = {}
    for kind, version, since in connection.execute("SELECT type, version, since FROM stored_schemas"):
        noted.setdefault(kind, {})[version] = since
    return noted


def _stored_above(connection: sqlite3.Connection, newer: Newer) -> int | None:
    """Return a schema version over the known one that an event of this type has, if any stored since then has one."""
    for (body,) in connection.execute(_OF_TYPE, (newer.since, f'"type":"{newer.kind}"')):
        event = decode(body)
        if event.type == newer.kind and event.schemaversion > newer.known:
            return event.schemaversion
    return None
