"""The views on SQLite: one table of documents beside the service's events."""

import json
import secrets
import sqlite3
from collections.abc import Sequence

import msgspec

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
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

_ETAGS = """
    SELECT json_group_array(json_array(wanted.key, etag)) FROM json_each(?) AS wanted
    JOIN documents ON documents.partition = wanted.value ->> 0 AND documents.id = wanted.value ->> 1
"""
_REMOVE = """
    DELETE FROM documents WHERE (partition, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
"""
_REPLACE = "ON CONFLICT (partition, id) DO UPDATE SET etag = excluded.etag, body = excluded.body"

_found = msgspec.json.Decoder(list[tuple[int, str]])

Place = tuple[str, str]


class SqliteViews:
    """The `Views` port over one database file with the table in `VIEW_TABLES`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def get(self, partition: str, id_: str, /) -> Document | None:
        """Return the document, or None."""
        rows = self._database.query("SELECT etag, body FROM documents WHERE partition = ? AND id = ?", (partition, id_))
        return Document(partition=partition, id=id_, etag=rows[0][0], body=rows[0][1]) if rows else None

    async def listing(
        self, partition: str, /, *, after: str = "", limit: int = 100, descending: bool = False
    ) -> list[Document]:
        """Return documents of the partition in order of id."""
        order, past = ("DESC", "<") if descending else ("ASC", ">")
        bound = f"AND id {past} ?" if after or not descending else "AND ? = ''"
        rows = self._database.query(
            f"SELECT id, etag, body FROM documents WHERE partition = ? {bound} ORDER BY id {order} LIMIT ?",  # noqa: S608 - constants only
            (partition, after, limit),
        )
        return [Document(partition=partition, id=id_, etag=etag, body=body) for id_, etag, body in rows]

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        """Apply all changes or none."""
        if not changes:
            return []
        return await self._database.write(_write, list(changes), durable=durable, is_news=False)


def _write(connection: sqlite3.Connection, batch: Sequence[list[Put | Remove]]) -> list[list[str] | Exception]:
    etags = _present(connection, batch)
    written: dict[Place, Put | Remove] = {}
    results: list[list[str] | Exception] = []
    for changes in batch:
        conflict = _conflict(changes, etags)
        if conflict is not None:
            results.append(conflict)
            continue
        new_etags = []
        for change in changes:
            place = (change.partition, change.id)
            etags[place] = secrets.token_hex(8) if isinstance(change, Put) else ""
            written[place] = change
            new_etags.append(etags[place])
        results.append(new_etags)
    _store(connection, written, etags)
    return results


def _present(connection: sqlite3.Connection, batch: Sequence[list[Put | Remove]]) -> dict[Place, str]:
    """Return the ETags of the documents that conditional changes are about."""
    places = [(change.partition, change.id) for changes in batch for change in changes if change.if_match != ANY]
    if not places:
        return {}
    ((found,),) = connection.execute(_ETAGS, (json.dumps(places),)).fetchall()
    return {places[index]: etag for index, etag in _found.decode(found)}


def _conflict(changes: Sequence[Put | Remove], etags: dict[Place, str]) -> DocumentConflict | None:
    for change in changes:
        present = etags.get((change.partition, change.id), "")
        wanted = "" if change.if_match == ABSENT else change.if_match
        if change.if_match != ANY and wanted != present:
            return DocumentConflict(f"{change.partition}/{change.id} is not at the expected revision")
    return None


def _store(connection: sqlite3.Connection, written: dict[Place, Put | Remove], etags: dict[Place, str]) -> None:
    values: list[str | bytes] = []
    for place, change in written.items():
        if isinstance(change, Put):
            values += (*place, etags[place], change.body)
    insert_rows(connection, "INSERT INTO documents (partition, id, etag, body)", 4, values, _REPLACE)
    removed = [place for place, change in written.items() if isinstance(change, Remove)]
    if removed:
        connection.execute(_REMOVE, (json.dumps(removed),))
