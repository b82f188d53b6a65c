"""The bus on SQLite: one file for all topics, a row per message and subscription.

`visible_at` is when a message may next be received: when it was published, when it is due, or when its lock ends.
"""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, SUBSCRIPTIONS, TOPICS, Subscription
from zekt_common.envelope import decode, encode
from zekt_common.errors import LockLost, MessageTooLarge, UnknownSubscription
from zekt_common.ports.bus import EVERYONE, DeadLetter, OutgoingMessage, ReceivedMessage, Receiver

MAX_MESSAGE_BYTES = 256 * 1024
PURGED_PER_PUBLISH = 1000

BUS_TABLES = """
    CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY,
        subscription TEXT NOT NULL,
        message_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        lock TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX messages_by_time ON messages (subscription, visible_at);
    CREATE INDEX messages_by_subject ON messages (subscription, subject);
    CREATE TABLE seen (
        id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        message_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        UNIQUE (topic, message_id)
    ) STRICT;
    CREATE TABLE dead_letters (
        sequence INTEGER PRIMARY KEY,
        subscription TEXT NOT NULL,
        message_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, sequence)
"""

_KNOWN = """
    SELECT json_group_array(seen.message_id) FROM json_each(?) AS wanted
    JOIN seen ON seen.topic = ? AND seen.message_id = wanted.value WHERE seen.at > ?
"""
_FORGET = "DELETE FROM seen WHERE at <= ? AND id IN (SELECT id FROM seen ORDER BY id LIMIT ?)"
_NEXT = """
    SELECT json_group_array(json_array(sequence, message_id, attempt, body)) FROM (
        SELECT sequence, message_id, attempt, body FROM messages
        WHERE subscription = ? AND visible_at <= ? ORDER BY visible_at, sequence LIMIT ?)
"""
_LOCK = "UPDATE messages SET visible_at = ?, lock = ? WHERE sequence IN (SELECT value FROM json_each(?))"
_HELD = """
    SELECT json_group_array(wanted.key) FROM json_each(?) AS wanted
    JOIN messages ON sequence = wanted.value ->> 0 AND lock = wanted.value ->> 1 AND visible_at > wanted.value ->> 2
"""

_rows = msgspec.json.Decoder(list[tuple[int, str, int, str]])
_strings = msgspec.json.Decoder(set[str])
_numbers = msgspec.json.Decoder(set[int])


class _Publication(msgspec.Struct, frozen=True, gc=False):
    topic: str
    messages: list[tuple[str, str, int, int, str, list[str]]]  # id, subject, attempt, visible at, body, subscriptions
    now: int


class _Reception(msgspec.Struct, frozen=True, gc=False):
    subscription: str
    limit: int
    now: int
    locked_until: int
    lock: str


class _Settlement(msgspec.Struct, frozen=True, gc=False):
    sequence: int
    lock: str
    now: int
    visible_at: int = 0
    message_id: str = ""
    reason: str = ""


class SqliteBus:
    """The `Bus` port over one database file with the tables in `BUS_TABLES`."""

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        clock: Clock = utc_now,
        topics: Collection[str] = TOPICS,
        subscriptions: Sequence[Subscription] = SUBSCRIPTIONS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._subscriptions: dict[str, dict[str, Subscription]] = {topic: {} for topic in topics}
        for subscription in subscriptions:
            self._subscriptions[subscription.topic][subscription.name] = subscription

    async def publish(self, topic: str, messages: Sequence[OutgoingMessage], /) -> None:
        """Publish all or none, dropping message ids seen within the duplicate-detection window; see `Bus.publish`."""
        if messages:
            now = to_micros(self._clock())
            addressed = [self._addressed(topic, message, now) for message in messages]
            await self._database.write(_publish, _Publication(topic, addressed, now))

    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        """Return the receiving end of one subscription."""
        return SqliteReceiver(self._database, self._known(topic, subscription), self._clock)

    async def dead_letters(self, topic: str, subscription: str, /, *, limit: int = 100) -> list[DeadLetter]:
        """Return the subscription's dead letters, oldest first."""
        known = self._known(topic, subscription)
        rows = self._database.query(
            "SELECT sequence, message_id, attempt, reason, at, body FROM dead_letters"
            " WHERE subscription = ? ORDER BY sequence LIMIT ?",
            (_key(known), limit),
        )
        return [
            DeadLetter(
                sequence=sequence,
                topic=topic,
                subscription=subscription,
                message_id=message_id,
                attempt=attempt,
                reason=reason,
                at=from_micros(at),
                body=body.encode(),
            )
            for sequence, message_id, attempt, reason, at, body in rows
        ]

    def _known(self, topic: str, name: str) -> Subscription:
        try:
            return self._subscriptions[topic][name]
        except KeyError:
            raise UnknownSubscription(f"the topology has no subscription {name!r} on topic {topic!r}") from None

    def _addressed(self, topic: str, message: OutgoingMessage, now: int) -> tuple[str, str, int, int, str, list[str]]:
        body = encode(message.envelope)
        if len(body) > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"{message.envelope.id} has {len(body)} bytes, a message at most {MAX_MESSAGE_BYTES}: send a reference"
            )
        if topic not in self._subscriptions:
            raise UnknownSubscription(f"the topology has no topic {topic!r}")
        names = self._subscriptions[topic] if message.to == EVERYONE else [self._known(topic, message.to).name]
        return (
            message.message_id or message.envelope.id,
            message.envelope.subject,
            message.attempt,
            now if message.not_before is None else to_micros(message.not_before),
            body.decode(),
            [f"{topic}/{name}" for name in names],
        )


class SqliteReceiver:
    """The `Receiver` port over one subscription's rows."""

    def __init__(self, database: SqliteDatabase, subscription: Subscription, clock: Clock) -> None:
        self._database = database
        self._subscription = subscription
        self._key = _key(subscription)
        self._clock = clock

    async def receive(self, max_messages: int, /, *, timeout_s: float) -> list[ReceivedMessage]:
        """Lock and return up to `max_messages`, waiting for the first up to `timeout_s` of real time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            revision = self._database.revision
            due_in_s = self._next_in_s()
            if due_in_s <= 0 and (received := await self._lock(max_messages)):
                return received
            remaining_s = deadline - loop.time()
            if remaining_s <= 0:
                return []
            await self._database.wait(revision, min(remaining_s, max(due_in_s, 0.001)))

    async def complete(self, message: ReceivedMessage, /) -> None:
        """Delete the message's row."""
        await self._settle(_complete, message, durable=False)

    async def retry(self, message: ReceivedMessage, /, *, after_s: float) -> None:
        """Turn the row into its own copy: next attempt, new id, due later."""
        due = to_micros(self._clock() + timedelta(seconds=after_s))
        copy_id = f"{_envelope_id(message)}~{self._subscription.name}~r{message.attempt + 1}"
        await self._settle(_retry, message, visible_at=due, message_id=copy_id)

    async def dead_letter(self, message: ReceivedMessage, reason: str, /) -> None:
        """Move the row to the dead letters."""
        await self._settle(_dead_letter, message, reason=reason)

    async def renew(self, message: ReceivedMessage, /) -> datetime:
        """Move the lock's end."""
        end = self._lock_end()
        await self._settle(_renew, message, durable=False, visible_at=to_micros(end))
        return end

    async def release(self, messages: Sequence[ReceivedMessage], /) -> None:
        """Make the messages visible at once, ahead of others."""
        now = to_micros(self._clock())
        settlements = [_Settlement(message.sequence, message.lock, now) for message in messages]
        await asyncio.gather(*(self._database.write(_renew, settlement, durable=False) for settlement in settlements))

    async def unsettled(self, subjects: Collection[str], /) -> set[str]:
        """Look the subjects up among this subscription's rows."""
        ((found,),) = self._database.query(
            "SELECT json_group_array(wanted.value) FROM json_each(?) AS wanted WHERE EXISTS"
            " (SELECT 1 FROM messages WHERE subscription = ? AND subject = wanted.value)",
            (json.dumps(list(subjects)), self._key),
        )
        return _strings.decode(found)

    async def backlog(self) -> int:
        """Count this subscription's rows."""
        ((count,),) = self._database.query("SELECT count(*) FROM messages WHERE subscription = ?", (self._key,))
        return int(count)

    def _next_in_s(self) -> float:
        ((first,),) = self._database.query("SELECT min(visible_at) FROM messages WHERE subscription = ?", (self._key,))
        return 3600.0 if first is None else (first - to_micros(self._clock())) / 1_000_000

    def _lock_end(self) -> datetime:
        return self._clock() + timedelta(seconds=self._subscription.lock_s)

    async def _lock(self, limit: int) -> list[ReceivedMessage]:
        end, lock = self._lock_end(), secrets.token_hex(8)
        reception = _Reception(self._key, limit, to_micros(self._clock()), to_micros(end), lock)
        rows = await self._database.write(_receive, reception, durable=False)
        return [
            ReceivedMessage(
                message_id=message_id,
                attempt=attempt,
                body=body.encode(),
                lock=lock,
                locked_until=end,
                sequence=sequence,
            )
            for sequence, message_id, attempt, body in rows
        ]

    async def _settle(self, apply: Any, message: ReceivedMessage, *, durable: bool = True, **changes: Any) -> None:
        settlement = _Settlement(message.sequence, message.lock, to_micros(self._clock()), **changes)
        if not await self._database.write(apply, settlement, durable=durable):
            raise LockLost(f"the lock on {message.message_id} has expired or passed on: it will be received again")


def _key(subscription: Subscription) -> str:
    return f"{subscription.topic}/{subscription.name}"


def _envelope_id(message: ReceivedMessage) -> str:
    try:
        return decode(message.body).id
    except msgspec.DecodeError:
        return message.message_id.partition("~")[0]


def _publish(connection: sqlite3.Connection, batch: Sequence[_Publication]) -> list[None]:
    seen_rows: list[Any] = []
    message_rows: list[Any] = []
    for topic in {publication.topic for publication in batch}:
        publications = [publication for publication in batch if publication.topic == topic]
        known = _known_ids(connection, topic, publications)
        for publication in publications:
            for message_id, subject, attempt, visible_at, body, subscriptions in publication.messages:
                if message_id in known:
                    continue
                known.add(message_id)
                seen_rows += (topic, message_id, publication.now)
                for subscription in subscriptions:
                    message_rows += (subscription, message_id, subject, attempt, visible_at, "", body)
    insert_rows(connection, "INSERT OR REPLACE INTO seen (topic, message_id, at)", 3, seen_rows)
    columns = "(subscription, message_id, subject, attempt, visible_at, lock, body)"
    insert_rows(connection, f"INSERT INTO messages {columns}", 7, message_rows)
    connection.execute(_FORGET, (batch[0].now - int(DUPLICATE_WINDOW_S * 1_000_000), PURGED_PER_PUBLISH))
    return [None] * len(batch)


def _known_ids(connection: sqlite3.Connection, topic: str, publications: Sequence[_Publication]) -> set[str]:
    wanted = json.dumps([message[0] for publication in publications for message in publication.messages])
    since = publications[0].now - int(DUPLICATE_WINDOW_S * 1_000_000)
    ((known,),) = connection.execute(_KNOWN, (wanted, topic, since)).fetchall()
    return _strings.decode(known)


def _receive(connection: sqlite3.Connection, batch: Sequence[_Reception]) -> list[list[tuple[int, str, int, str]]]:
    received = []
    for reception in batch:
        ((found,),) = connection.execute(_NEXT, (reception.subscription, reception.now, reception.limit)).fetchall()
        rows = _rows.decode(found)
        if rows:
            sequences = json.dumps([row[0] for row in rows])
            connection.execute(_LOCK, (reception.locked_until, reception.lock, sequences))
        received.append(rows)
    return received


def _held(connection: sqlite3.Connection, batch: Sequence[_Settlement]) -> list[bool]:
    wanted = json.dumps([(settlement.sequence, settlement.lock, settlement.now) for settlement in batch])
    ((held,),) = connection.execute(_HELD, (wanted,)).fetchall()
    indices = _numbers.decode(held)
    return [index in indices for index in range(len(batch))]


def _complete(connection: sqlite3.Connection, batch: Sequence[_Settlement]) -> list[bool]:
    held = _held(connection, batch)
    _delete(connection, [settlement for settlement, ours in zip(batch, held, strict=True) if ours])
    return held


def _delete(connection: sqlite3.Connection, settlements: Sequence[_Settlement]) -> None:
    sequences = json.dumps([settlement.sequence for settlement in settlements])
    connection.execute("DELETE FROM messages WHERE sequence IN (SELECT value FROM json_each(?))", (sequences,))


def _renew(connection: sqlite3.Connection, batch: Sequence[_Settlement]) -> list[bool]:
    held = _held(connection, batch)
    connection.executemany(
        "UPDATE messages SET visible_at = ? WHERE sequence = ?",
        [(s.visible_at, s.sequence) for s, ours in zip(batch, held, strict=True) if ours],
    )
    return held


def _retry(connection: sqlite3.Connection, batch: Sequence[_Settlement]) -> list[bool]:
    held = _held(connection, batch)
    connection.executemany(
        "UPDATE messages SET visible_at = ?, message_id = ?, attempt = attempt + 1, lock = '' WHERE sequence = ?",
        [(s.visible_at, s.message_id, s.sequence) for s, ours in zip(batch, held, strict=True) if ours],
    )
    return held


def _dead_letter(connection: sqlite3.Connection, batch: Sequence[_Settlement]) -> list[bool]:
    held = _held(connection, batch)
    ours = [settlement for settlement, held_by_us in zip(batch, held, strict=True) if held_by_us]
    connection.executemany(
        "INSERT INTO dead_letters (subscription, message_id, attempt, reason, at, body)"
        " SELECT subscription, message_id, attempt, ?, ?, body FROM messages WHERE sequence = ?",
        [(settlement.reason, settlement.now, settlement.sequence) for settlement in ours],
    )
    _delete(connection, ours)
    return held
