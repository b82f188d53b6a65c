"""A subscription: rules, a queue of its own, and one of its dead letters."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.entries import Counts, Entry, State
from zekt_sandbox.servicebus.message import Message
from zekt_sandbox.servicebus.queue import Queue, QueueProperties
from zekt_sandbox.servicebus.receivers import Receivers
from zekt_sandbox.servicebus.rules import Filter

_UNLIMITED_DELIVERIES = sys.maxsize


class Subscription:
    """Takes the messages of its topic that any of its rules matches."""

    def __init__(
        self, topic: str, name: str, clock: Clock, properties: QueueProperties, rules: Mapping[str, Filter]
    ) -> None:
        self.name = name
        self.rules = dict(rules)
        path = f"{topic}/Subscriptions/{name}"
        self.queue = Queue(path, clock, properties, self._dead_letter)
        letters = QueueProperties(lock_s=properties.lock_s, max_delivery_count=_UNLIMITED_DELIVERIES)
        self.dead_letters = Queue(f"{path}/$DeadLetterQueue", clock, letters, self._dead_letter)
        self.receivers = Receivers(self.queue)
        self.dead_letter_receivers = Receivers(self.dead_letters)

    @property
    def properties(self) -> QueueProperties:
        """How long locks and messages last, and how often a message is delivered."""
        return self.queue.properties

    def configure(self, properties: QueueProperties) -> None:
        """Change them for what comes."""
        self.queue.properties = properties
        self.dead_letters.properties = replace(self.dead_letters.properties, lock_s=properties.lock_s)

    def offer(self, message: Message, sequence_number: int, ttl_s: float | None) -> None:
        """Take the message if a rule matches, once however many do."""
        if any(rule.matches(message) for rule in self.rules.values()):
            self.queue.put(message, sequence_number, ttl_s)

    def counts(self, scheduled: int) -> Counts:
        """How many messages wait, given how many are scheduled to come."""
        held = Counter("locked" if entry.lock else entry.state.name for entry in self.queue.entries)
        return Counts(
            active=held[State.ACTIVE.name],
            locked=held["locked"],
            scheduled=scheduled,
            deferred=held[State.DEFERRED.name],
            dead_lettered=len(self.dead_letters.entries),
        )

    def purge(self) -> None:
        """Forget every message."""
        self.queue.purge()
        self.dead_letters.purge()

    def _dead_letter(self, entry: Entry, reason: str | None, description: str | None) -> None:
        letter = entry.message.dead_lettered(self.queue.path, reason, description)
        self.dead_letters.put(letter, entry.sequence_number)
