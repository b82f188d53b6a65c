"""A topic: takes messages in, drops repeats, keeps those for later, and offers the rest to its subscriptions."""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.entries import Entry, State
from zekt_sandbox.servicebus.errors import message_not_found
from zekt_sandbox.servicebus.message import Message
from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.rules import DEFAULT_RULE, Filter, TrueFilter
from zekt_sandbox.servicebus.subscription import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicProperties:
    """How long message ids are remembered, None without duplicate detection, and how long messages last."""

    duplicate_window_s: float | None = None
    ttl_s: float | None = None


class Topic:
    """A topic with its subscriptions, by lower-case name. `received` counts messages, `duplicates` those dropped."""

    def __init__(self, name: str, clock: Clock, properties: TopicProperties) -> None:
        self.name = name
        self.properties = properties
        self.subscriptions: dict[str, Subscription] = {}
        self.received = self.duplicates = 0
        self._clock = clock
        self._sequence_numbers = itertools.count(1)
        self._seen: dict[Any, float] = {}
        self._scheduled: dict[int, Entry] = {}
        self._due: list[tuple[float, int]] = []
        self._alarm = clock.alarm(self._enqueue_due)

    def subscribe(
        self,
        name: str,
        properties: QueueProperties | None = None,
        rules: Mapping[str, Filter] | None = None,
    ) -> Subscription:
        """Add a subscription, which takes every message unless rules are given."""
        rules = {DEFAULT_RULE: TrueFilter()} if rules is None else rules
        subscription = Subscription(self.name, name, self._clock, properties or QueueProperties(), rules)
        self.subscriptions[name.lower()] = subscription
        return subscription

    def accept(self, messages: Sequence[Message]) -> list[int]:
        """Take in all of the messages or none; their sequence numbers, a dropped repeat's too.

        Raises:
            AmqpError: one of them is refused.
        """
        for message in messages:
            message.check()
        return [self._accept(message) for message in messages]

    def cancel(self, sequence_numbers: Sequence[int]) -> None:
        """Forget scheduled messages, all or none.

        Raises:
            AmqpError: one of them is not scheduled (any more).
        """
        for number in sequence_numbers:
            if number not in self._scheduled:
                raise message_not_found(number)
        for number in sequence_numbers:
            self._scheduled.pop(number, None)

    def peek(self, first: int, limit: int) -> list[Entry]:
        """Return scheduled messages in the order they came in, from a sequence number on."""
        waiting = (entry for number, entry in self._scheduled.items() if number >= first)
        return list(itertools.islice(waiting, limit))

    def scheduled_for(self, subscription: Subscription) -> int:
        """How many scheduled messages the subscription is going to take."""
        rules = subscription.rules.values()
        return sum(any(rule.matches(entry.message) for rule in rules) for entry in self._scheduled.values())

    def purge(self) -> None:
        """Forget every message, and every message id."""
        self._seen.clear()
        self._scheduled.clear()
        self._due.clear()
        for subscription in self.subscriptions.values():
            subscription.purge()

    def _accept(self, message: Message) -> int:
        self.received += 1
        sequence_number = next(self._sequence_numbers)
        if self._is_repeat(message.id):
            self.duplicates += 1
            return sequence_number
        due = message.scheduled_at
        if due is None or due <= self._clock.now():
            self._fan_out(message, sequence_number)
        else:
            self._schedule(message, sequence_number, due)
        return sequence_number

    def _is_repeat(self, message_id: Any) -> bool:
        window_s = self.properties.duplicate_window_s
        if window_s is None or message_id is None:
            return False
        now = self._clock.now()
        self._forget_ids(now)
        if message_id in self._seen:
            return True
        self._seen[message_id] = now + window_s
        return False

    def _forget_ids(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] > now:
                return
            del self._seen[oldest]

    def _schedule(self, message: Message, sequence_number: int, due: float) -> None:
        self._scheduled[sequence_number] = Entry(message, sequence_number, due, state=State.SCHEDULED)
        heapq.heappush(self._due, (due, sequence_number))
        self._alarm.set(due)

    def _enqueue_due(self) -> None:
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            entry = self._scheduled.pop(heapq.heappop(self._due)[1], None)
            if entry is not None:
                self._fan_out(entry.message, entry.sequence_number)
        if self._due:
            self._alarm.set(self._due[0][0])

    def _fan_out(self, message: Message, sequence_number: int) -> None:
        lifetimes = [seconds for seconds in (message.ttl_s, self.properties.ttl_s) if seconds is not None]
        ttl_s = min(lifetimes) if lifetimes else None
        for subscription in self.subscriptions.values():
            subscription.offer(message, sequence_number, ttl_s)
