"""Whether the broker's clock and ours tell the same time: due times are ours, and other machines' may be others."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from azure.servicebus import ServiceBusReceivedMessage

from zekt_common.clock import Clock
from zekt_common.contracts.topology import Subscription

DIFFERS_BY_S = 5.0

log = structlog.get_logger()


class ClockComparison:
    """Compares when the broker says that it has locked messages with when they came, and warns once of a difference."""

    def __init__(self, terms: Subscription, clock: Clock) -> None:
        self._terms = terms
        self._clock = clock
        self._differs = False

    def compare(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Look at messages that have just come."""
        ends = [message.locked_until_utc for message in messages if message.locked_until_utc is not None]
        if not ends:
            return
        locked_at = max(ends) - timedelta(seconds=self._terms.lock_s)
        ahead_s = (self._clock() - locked_at).total_seconds()
        differs = abs(ahead_s) > DIFFERS_BY_S
        if differs and not self._differs:
            entity = f"{self._terms.topic}/{self._terms.name}"
            log.warning("servicebus_clock_differs", entity=entity, ours_is_ahead_by_s=round(ahead_s, 1))
        self._differs = differs
