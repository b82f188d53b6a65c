"""How many messages a subscription holds, counted beside the consumer, which a slow count must not hold up."""

import asyncio

import structlog

from zekt_common.contracts.topology import Subscription
from zekt_common.kit.supervision import describe
from zekt_common.ports import Receiver
from zekt_common.telemetry.metrics import CONSUMER_BACKLOG

EVERY_S = 5.0

log = structlog.get_logger()


class BacklogCount:
    """Counts at once and every `every_s`, for the metric; a count that fails is logged, and the last one stands."""

    def __init__(self, receiver: Receiver, terms: Subscription, *, every_s: float = EVERY_S) -> None:
        self._receiver = receiver
        self._measured = {"topic": terms.topic, "subscription": terms.name}
        self._every_s = every_s
        self._last = 0

    async def run(self) -> None:
        """Count until cancelled."""
        unwatch = CONSUMER_BACKLOG.watch(lambda: self._last, **self._measured)
        try:
            while True:
                await self._count()
                await asyncio.sleep(self._every_s)
        finally:
            unwatch()

    async def _count(self) -> None:
        try:
            self._last = await self._receiver.backlog()
        except Exception as error:  # noqa: BLE001 - the next count may succeed
            log.warning("backlog_not_counted", **self._measured, **describe(error))
