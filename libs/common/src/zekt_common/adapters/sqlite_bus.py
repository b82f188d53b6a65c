"""The bus on SQLite: one file for all topics, a row per message and subscription.

A message keeps its place, by when it became due, however often it is locked, released or left behind by a dead process.
Commits survive the death of the process. That of the machine may undo the last ones, which the relays then publish
again: they save their checkpoints after `sync`.
"""

import asyncio
import json
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from zekt_common.adapters import sqlite_bus_writes as writes
from zekt_common.adapters.sqlite_bus_writes import BUS_TABLES
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_group_commit import BatchWrite
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS, Subscription
from zekt_common.envelope import encode
from zekt_common.errors import LockLost, MessageTooLarge, UnknownSubscription
from zekt_common.ports.bus import EVERYONE, DeadLetter, OutgoingMessage, ReceivedMessage, Receiver
from zekt_common.ports.payloads import RETENTION

__all__ = ["BUS_TABLES", "MAX_MESSAGE_BYTES", "SqliteBus", "SqliteReceiver"]

MAX_MESSAGE_BYTES = 256 * 1024
LONGEST_LOOK_S = 0.25
DEAD_LETTERS_KEPT = RETENTION

_AVAILABLE = """
    SELECT EXISTS (SELECT 1 FROM messages WHERE subscription = ? AND due_at <= ? AND locked_until <= ?)
"""
_NEXT_AT = """
    SELECT min(at) FROM (
        SELECT min(locked_until) AS at FROM messages WHERE subscription = ?1 AND due_at <= ?2
        UNION ALL SELECT min(due_at) FROM messages WHERE subscription = ?1 AND due_at > ?2)
"""
_UNSETTLED = """
    SELECT json_group_array(wanted.value) FROM json_each(?) AS wanted
    WHERE EXISTS (SELECT 1 FROM messages WHERE subscription = ? AND subject = wanted.value)
"""
_DEAD_LETTERS = """
    SELECT sequence, message_id, attempt, reason, at, body FROM dead_letters
    WHERE subscription = ? ORDER BY sequence LIMIT ?
"""

_strings = msgspec.json.Decoder(set[str])


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
        now = to_micros(self._clock())
        addressed = [self._addressed(topic, message, now) for message in messages]
        if addressed:
            publication = writes.Publication(topic, addressed, now)
            news = {subscription for message in addressed for subscription in message.subscriptions}
            await self._database.write(writes.publish, publication, durable=False, news=news)

    async def sync(self) -> None:
        """Sync the file's log."""
        await self._database.sync()

    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        """Return the receiving end of one subscription."""
        return SqliteReceiver(self._database, self._known(topic, subscription), self._clock)

    async def dead_letters(self, topic: str, subscription: str, /, *, limit: int = 100) -> list[DeadLetter]:
        """Return the subscription's dead letters, oldest first."""
        rows = self._database.query(_DEAD_LETTERS, (_key(self._known(topic, subscription)), limit))
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

    async def purge(self) -> int:
        """Delete the dead letters that are older than the payloads they may speak of, a few at a time."""
        purged, until = 0, to_micros(self._clock() - DEAD_LETTERS_KEPT)
        while count := await self._database.write(writes.purge, until, durable=False):
            purged += count
        return purged

    def _known(self, topic: str, name: str) -> Subscription:
        try:
            return self._subscriptions[topic][name]
        except KeyError:
            raise UnknownSubscription(f"the topology has no subscription {name!r} on topic {topic!r}") from None

    def _addressees(self, topic: str, to: str) -> list[str]:
        if topic not in self._subscriptions:
            raise UnknownSubscription(f"the topology has no topic {topic!r}")
        if to == EVERYONE:
            return [_key(subscription) for subscription in self._subscriptions[topic].values()]
        return [_key(self._known(topic, to))]

    def _addressed(self, topic: str, message: OutgoingMessage, now: int) -> writes.Addressed:
        body = encode(message.envelope)
        if len(body) > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"{message.envelope.id} has {len(body)} bytes, a message at most {MAX_MESSAGE_BYTES}: send a reference"
            )
        return writes.Addressed(
            message_id=message.message_id or message.envelope.id,
            subject=message.envelope.subject,
            attempt=message.attempt,
            due_at=now if message.not_before is None else max(to_micros(message.not_before), now),
            body=body.decode(),
            subscriptions=self._addressees(topic, message.to),
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
            revision = self._database.revision(self._key)
            if self._is_available() and (received := await self._lock_or_release(max_messages)):
                return received
            remaining_s = deadline - loop.time()
            if remaining_s <= 0:
                return []
            await self._database.wait(self._key, revision, min(remaining_s, self._next_in_s()))

    async def complete(self, message: ReceivedMessage, /) -> None:
        """Delete the message's row."""
        await self._settle(writes.complete, message)

    async def retry(self, message: ReceivedMessage, /, *, after_s: float) -> None:
        """Turn the row into its own copy: next attempt, new id, due later."""
        due = to_micros(self._clock() + timedelta(seconds=after_s))
        await self._settle(writes.retry, message, at=due, text=self._copy_id(message))

    async def dead_letter(self, message: ReceivedMessage, reason: str, /) -> None:
        """Move the row to the dead letters."""
        await self._settle(writes.bury, message, at=to_micros(self._clock()), text=reason)

    async def renew(self, message: ReceivedMessage, /) -> datetime:
        """Move the lock's end."""
        end = self._lock_end()
        await self._settle(writes.renew, message, at=to_micros(end))
        return end

    async def release(self, messages: Sequence[ReceivedMessage], /) -> None:
        """End the locks now: each message is at its old place again."""
        now = to_micros(self._clock())
        released = (writes.Settlement(message.sequence, message.lock, now) for message in messages)
        news = (self._key,)
        await asyncio.gather(
            *(self._database.write(writes.release, each, durable=False, news=news) for each in released)
        )

    async def unsettled(self, subjects: Collection[str], /) -> set[str]:
        """Look the subjects up among this subscription's rows."""
        ((found,),) = self._database.query(_UNSETTLED, (json.dumps(list(subjects)), self._key))
        return _strings.decode(found)

    async def is_empty(self) -> bool:
        """Look for any row of this subscription."""
        return not self._database.query("SELECT 1 FROM messages WHERE subscription = ? LIMIT 1", (self._key,))

    async def backlog(self) -> int:
        """Count this subscription's rows."""
        ((count,),) = self._database.query("SELECT count(*) FROM messages WHERE subscription = ?", (self._key,))
        return int(count)

    def _is_available(self) -> bool:
        now = to_micros(self._clock())
        ((available,),) = self._database.query(_AVAILABLE, (self._key, now, now))
        return bool(available)

    def _next_in_s(self) -> float:
        """Return how long nothing can become available without a commit, but look again before long: clocks jump."""
        now = to_micros(self._clock())
        ((at,),) = self._database.query(_NEXT_AT, (self._key, now))
        return LONGEST_LOOK_S if at is None else min(max((at - now) / 1_000_000, 0.001), LONGEST_LOOK_S)

    def _lock_end(self) -> datetime:
        return self._clock() + timedelta(seconds=self._subscription.lock_s)

    def _copy_id(self, message: ReceivedMessage) -> str:
        """Name the retry after the first copy's id: the retries of a replay must not be taken for the original's."""
        suffix = f"~{self._subscription.name}~r"
        return f"{message.message_id.rpartition(suffix)[0] or message.message_id}{suffix}{message.attempt + 1}"

    async def _lock_or_release(self, limit: int) -> list[ReceivedMessage]:
        """Lock messages, and give them back if the caller is cancelled before it has them."""
        locking = asyncio.ensure_future(self._lock(limit))
        try:
            return await asyncio.shield(locking)
        except asyncio.CancelledError:
            await self.release(await locking)
            raise

    async def _lock(self, limit: int) -> list[ReceivedMessage]:
        end, lock = self._lock_end(), secrets.token_hex(8)
        reception = writes.Reception(self._key, limit, to_micros(self._clock()), to_micros(end), lock)
        rows = await self._database.write(writes.receive, reception, durable=False)
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

    async def _settle(
        self,
        apply: BatchWrite[writes.Settlement, bool],
        message: ReceivedMessage,
        *,
        at: int = 0,
        text: str = "",
    ) -> None:
        settlement = writes.Settlement(message.sequence, message.lock, to_micros(self._clock()), at, text)
        held = await self._database.write(
            apply,
            settlement,
            durable=False,
            news=(self._key,) if apply is writes.retry else (),
            is_patient=apply is writes.complete,
        )
        if not held:
            raise LockLost(f"the lock on {message.message_id} has expired or passed on: it will be received again")


def _key(subscription: Subscription) -> str:
    return f"{subscription.topic}/{subscription.name}"
