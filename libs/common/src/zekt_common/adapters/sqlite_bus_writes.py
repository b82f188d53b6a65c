"""What the bus writes: its tables, and the batches that publish, lock and settle in a few large statements.

Each batch asks by one aggregate query and changes rows by one statement: see `sqlite_statements` for why.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S

PURGED_PER_COMMIT = 500
WINDOW_MICROS = int(DUPLICATE_WINDOW_S * 1_000_000)
FORGOTTEN_PER_COMMIT = 2000

BUS_TABLES = """
    CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription TEXT NOT NULL,
        message_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        locked_until INTEGER NOT NULL DEFAULT 0,
        lock TEXT NOT NULL DEFAULT '',
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX messages_by_time ON messages (subscription, due_at);
    CREATE INDEX messages_by_subject ON messages (subscription, subject);
    CREATE TABLE seen (
        id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        message_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        UNIQUE (topic, message_id)
    ) STRICT;
    CREATE TABLE dead_letters (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription TEXT NOT NULL,
        message_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, sequence)
"""

_SEEN = """
    SELECT json_group_array(seen.message_id) FROM json_each(?) AS wanted
    CROSS JOIN seen ON seen.topic = ? AND seen.message_id = wanted.value WHERE seen.at > ?
"""
_FORGET = """
    DELETE FROM seen WHERE at <= ?1 AND id IN (
        SELECT id FROM seen WHERE (SELECT at FROM seen ORDER BY id LIMIT 1) <= ?1 ORDER BY id LIMIT ?2)
"""
_INSERT_SEEN = "INSERT OR REPLACE INTO seen (topic, message_id, at)"
_INSERT_MESSAGES = "INSERT INTO messages (subscription, message_id, subject, attempt, due_at, body)"
_NEXT = """
    SELECT json_group_array(json_array(sequence, message_id, attempt, body)) FROM (
        SELECT sequence, message_id, attempt, body FROM messages
        WHERE subscription = ? AND due_at <= ? AND locked_until <= ? ORDER BY due_at, sequence LIMIT ?)
"""
_LOCK = "UPDATE messages SET locked_until = ?, lock = ? WHERE sequence IN (SELECT value FROM json_each(?))"
_HELD = """
    SELECT json_group_array(wanted.key) FROM json_each(?) AS wanted CROSS JOIN messages
    ON sequence = wanted.value ->> 0 AND lock = wanted.value ->> 1 AND locked_until > wanted.value ->> 2
"""
_PURGE = """
    DELETE FROM dead_letters
    WHERE at <= ? AND sequence IN (SELECT sequence FROM dead_letters ORDER BY sequence LIMIT ?)
"""
_DELETE = "DELETE FROM messages WHERE sequence IN (SELECT value ->> 0 FROM json_each(?))"
_RENEW = "UPDATE messages SET locked_until = value ->> 1 FROM json_each(?) WHERE sequence = value ->> 0"
_RELEASE = """
    UPDATE messages SET locked_until = 0, lock = '' WHERE sequence IN (SELECT value ->> 0 FROM json_each(?))
"""
_RETRY = """
    UPDATE messages
    SET attempt = attempt + 1, message_id = value ->> 2, due_at = value ->> 1, locked_until = 0, lock = ''
    FROM json_each(?) WHERE sequence = value ->> 0
"""
_BURY = """
    INSERT INTO dead_letters (subscription, message_id, attempt, reason, at, body)
    SELECT subscription, message_id, attempt, value ->> 2, value ->> 1, body
    FROM json_each(?) CROSS JOIN messages ON sequence = value ->> 0 ORDER BY sequence
"""

Locked = tuple[int, str, int, str]

_rows = msgspec.json.Decoder(list[Locked])
_strings = msgspec.json.Decoder(set[str])
_numbers = msgspec.json.Decoder(list[int])


class Addressed(msgspec.Struct, frozen=True, gc=False):
    """A message, and the subscriptions as `topic/name` that get a row each."""

    message_id: str
    subject: str
    attempt: int
    due_at: int
    body: str
    subscriptions: Sequence[str]


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One call of `publish`."""

    topic: str
    messages: Sequence[Addressed]
    now: int


class Reception(msgspec.Struct, frozen=True, gc=False):
    """One call of `receive` that found something to lock."""

    subscription: str
    limit: int
    now: int
    locked_until: int
    lock: str


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one locked message: `at` is its new end of lock, the copy's due time or the time of death."""

    sequence: int
    lock: str
    now: int
    at: int = 0
    text: str = ""


def publish(connection: sqlite3.Connection, batch: Sequence[Publication]) -> list[None]:
    """Insert the messages whose ids were not seen within the window, in the order they were published."""
    oldest = batch[0].now - WINDOW_MICROS
    known = {topic: _seen(connection, topic, batch, oldest) for topic in {publication.topic for publication in batch}}
    seen: list[Any] = []
    rows: list[Any] = []
    for publication in batch:
        ids = known[publication.topic]
        for message in publication.messages:
            if message.message_id in ids:
                continue
            ids.add(message.message_id)
            seen += (publication.topic, message.message_id, publication.now)
            for subscription in message.subscriptions:
                rows += (
                    subscription,
                    message.message_id,
                    message.subject,
                    message.attempt,
                    message.due_at,
                    message.body,
                )
    insert_rows(connection, _INSERT_SEEN, 3, seen)
    insert_rows(connection, _INSERT_MESSAGES, 6, rows)
    connection.execute(_FORGET, (oldest, FORGOTTEN_PER_COMMIT))
    return [None] * len(batch)


def receive(connection: sqlite3.Connection, batch: Sequence[Reception]) -> list[list[Locked]]:
    """Lock the oldest messages that are due and unlocked."""
    received = []
    for reception in batch:
        parameters = (reception.subscription, reception.now, reception.now, reception.limit)
        ((found,),) = connection.execute(_NEXT, parameters).fetchall()
        rows = _rows.decode(found)
        if rows:
            sequences = _json([row[0] for row in rows])
            connection.execute(_LOCK, (reception.locked_until, reception.lock, sequences))
        received.append(rows)
    return received


def complete(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[bool]:
    """Delete the messages; False for each whose lock is lost."""
    return _settle(connection, batch, _DELETE)


def renew(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[bool]:
    """Move the locks' ends; False for each whose lock is lost."""
    held = _held(connection, batch)
    changes = [(batch[index].sequence, batch[index].at) for index in held]
    if changes:
        connection.execute(_RENEW, (_json(changes),))
    return [index in held for index in range(len(batch))]


def release(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[bool]:
    """End the locks; False for each whose lock is lost."""
    return _settle(connection, batch, _RELEASE)


def retry(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[bool]:
    """Turn the messages into their copies; False for each whose lock is lost."""
    return _settle(connection, batch, _RETRY)


def bury(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[bool]:
    """Move the messages to the dead letters; False for each whose lock is lost."""
    return _settle(connection, batch, _BURY, _DELETE)


def _settle(connection: sqlite3.Connection, batch: Sequence[Settlement], *statements: str) -> list[bool]:
    """Run the statements over the messages held; of two settlements of one message the first holds."""
    ours = {batch[index].sequence: index for index in reversed(_held(connection, batch))}
    changes = _json([(sequence, batch[index].at, batch[index].text) for sequence, index in ours.items()])
    for statement in statements if ours else ():
        connection.execute(statement, (changes,))
    return [ours.get(settlement.sequence) == index for index, settlement in enumerate(batch)]


def _held(connection: sqlite3.Connection, batch: Sequence[Settlement]) -> list[int]:
    """Return the indices of the settlements whose locks still hold."""
    wanted = _json([(settlement.sequence, settlement.lock, settlement.now) for settlement in batch])
    ((held,),) = connection.execute(_HELD, (wanted,)).fetchall()
    return _numbers.decode(held)


def _seen(connection: sqlite3.Connection, topic: str, batch: Sequence[Publication], oldest: int) -> set[str]:
    wanted = [message.message_id for each in batch if each.topic == topic for message in each.messages]
    ((found,),) = connection.execute(_SEEN, (_json(wanted), topic, oldest)).fetchall()
    return _strings.decode(found)


def _json(content: Any) -> str:
    return msgspec.json.encode(content).decode()


def purge(connection: sqlite3.Connection, batch: Sequence[int]) -> list[int]:
    """Delete some dead letters up to each of these times and return how many."""
    return [connection.execute(_PURGE, (until, PURGED_PER_COMMIT)).rowcount for until in batch]
