"""A queue of messages under peek-lock: a subscription's own, or that of its dead letters."""

import heapq
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.entries import Entry, Lock, State
from zekt_sandbox.servicebus.errors import lock_lost, message_not_found
from zekt_sandbox.servicebus.expiries import Expiries
from zekt_sandbox.servicebus.message import Message

DeadLetter = Callable[[Entry, str | None, str | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProperties:
    """How long locks and messages last, and how often a message is delivered."""

    lock_s: float = 60.0
    max_delivery_count: int = 10
    ttl_s: float | None = None
    dead_letters_expired: bool = False


class Queue:
    """Holds messages in order until they are settled; `dead_letter` takes those that cannot be delivered.

    `on_ready` is called whenever a message can be delivered.
    """

    def __init__(self, path: str, clock: Clock, properties: QueueProperties, dead_letter: DeadLetter) -> None:
        self.path = path
        self.properties = properties
        self.on_ready: Callable[[], None] = lambda: None
        self._clock = clock
        self._dead_letter = dead_letter
        self._sequence_numbers = itertools.count(1)
        self._entries: dict[int, Entry] = {}
        self._ready: list[int] = []
        self._locks: dict[uuid.UUID, Lock] = {}
        self._lock_alarm = clock.alarm(self._expire_locks)
        self._expiries = Expiries()
        self._expiry_alarm = clock.alarm(self._expire_messages)

    @property
    def entries(self) -> list[Entry]:
        """All that the queue holds, in order."""
        return list(self._entries.values())

    def put(self, message: Message, enqueued_sequence_number: int | None, ttl_s: float | None = None) -> None:
        """Add a message at the end."""
        now = self._clock.now()
        lifetimes = [seconds for seconds in (ttl_s, self.properties.ttl_s) if seconds is not None]
        expires_at = now + min(lifetimes) if lifetimes else None
        entry = Entry(message, next(self._sequence_numbers), now, expires_at, enqueued_sequence_number)
        self._entries[entry.sequence_number] = entry
        if expires_at is not None:
            self._expiries.add(expires_at, entry.sequence_number, self._entries.keys())
            self._expiry_alarm.set(expires_at)
        self._make_ready(entry)

    def take(self) -> Entry | None:
        """Return the first message that can be delivered; the caller locks or removes it."""
        while self._ready:
            entry = self._entries.get(heapq.heappop(self._ready))
            if entry is None or entry.lock is not None or entry.state is not State.ACTIVE:
                continue
            if not self._expire(entry):
                return entry
        return None

    def lock(self, entry: Entry) -> Lock:
        """Lock a message for whoever is going to settle it."""
        lock = Lock(uuid.uuid4(), entry, self._clock.now() + self.properties.lock_s)
        entry.lock = self._locks[lock.token] = lock
        self._lock_alarm.set(lock.expires_at)
        return lock

    def held(self, token: uuid.UUID) -> Lock:
        """Return a lock that is still held.

        Raises:
            AmqpError: it is not.
        """
        lock = self._locks.get(token)
        if lock is None or lock.expires_at <= self._clock.now():
            raise lock_lost()
        return lock

    def renew(self, lock: Lock) -> float:
        """Lock for as long again, from now; until when."""
        lock.expires_at = self._clock.now() + self.properties.lock_s
        self._locks[lock.token] = self._locks.pop(lock.token)  # the first to expire comes first
        return lock.expires_at

    def deferred(self, sequence_number: int) -> Entry:
        """Return a message that was set aside.

        Raises:
            AmqpError: there is none of this number, or it is locked.
        """
        entry = self._entries.get(sequence_number)
        if entry is None or entry.state is not State.DEFERRED or entry.lock is not None:
            raise message_not_found(sequence_number)
        return entry

    def peek(self, first: int, limit: int) -> list[Entry]:
        """Return messages in order from a sequence number on, locked and deferred ones too."""
        if not self._entries:
            return []
        oldest, newest = next(iter(self._entries)), next(reversed(self._entries))
        numbers = range(max(first, oldest), newest + 1)
        present = (entry for number in numbers if (entry := self._entries.get(number)) is not None)
        return list(itertools.islice(present, limit))

    def remove(self, entry: Entry) -> None:
        """Take a message out for good."""
        self._entries.pop(entry.sequence_number, None)

    def complete(self, lock: Lock) -> None:
        """Settle: the message was processed."""
        self._unlock(lock)
        self.remove(lock.entry)

    def release(self, lock: Lock) -> None:
        """Give the message back as if it had not been delivered."""
        self._unlock(lock)
        self._make_ready(lock.entry)

    def abandon(self, lock: Lock) -> None:
        """Give the message back, or to the dead letters after the last delivery."""
        self._unlock(lock)
        entry, limit = lock.entry, self.properties.max_delivery_count
        entry.delivery_count += 1
        if entry.delivery_count >= limit:
            self.remove(entry)
            reason = f"Message could not be consumed after {limit} delivery attempts."
            self._dead_letter(entry, "MaxDeliveryCountExceeded", reason)
        else:
            self._make_ready(entry)

    def defer(self, lock: Lock) -> None:
        """Set the message aside until it is asked for by its sequence number."""
        self._unlock(lock)
        lock.entry.state = State.DEFERRED
        self._expire(lock.entry)

    def dead_letter(self, lock: Lock, reason: str | None, description: str | None) -> None:
        """Give the message to the dead letters."""
        self._unlock(lock)
        self.remove(lock.entry)
        self._dead_letter(lock.entry, reason, description)

    def purge(self) -> None:
        """Forget every message and lock."""
        self._entries.clear()
        self._ready.clear()
        self._locks.clear()
        self._expiries.clear()

    def _make_ready(self, entry: Entry) -> None:
        if entry.state is State.ACTIVE and not self._expire(entry):
            heapq.heappush(self._ready, entry.sequence_number)
            self.on_ready()

    def _unlock(self, lock: Lock) -> None:
        self._locks.pop(lock.token, None)
        lock.entry.lock = None

    def _expire_locks(self) -> None:
        now = self._clock.now()
        while self._locks:
            first = next(iter(self._locks.values()))
            if first.expires_at > now:
                self._lock_alarm.set(first.expires_at)
                return
            self.abandon(first)

    def _expire_messages(self) -> None:
        for sequence_number in self._expiries.due(self._clock.now()):
            entry = self._entries.get(sequence_number)
            if entry is not None and entry.lock is None:
                self._expire(entry)
        next_at = self._expiries.next_at
        if next_at is not None:
            self._expiry_alarm.set(next_at)

    def _expire(self, entry: Entry) -> bool:
        """Remove an unlocked message whose time is over; a locked one outlives it until it is given back."""
        if entry.expires_at is None or entry.expires_at > self._clock.now():
            return False
        self.remove(entry)
        if self.properties.dead_letters_expired:
            self._dead_letter(entry, "TTLExpiredException", "The message expired and was dead lettered.")
        return True
