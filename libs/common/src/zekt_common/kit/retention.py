"""Retention: what has expired is deleted, now and then, by one replica of a service at a time."""

import asyncio
from collections.abc import Mapping

import structlog

from zekt_common.kit.supervision import supervise
from zekt_common.ports import Expiring, Leases

INTERVAL_S = 3600.0

log = structlog.get_logger()


class Retention:
    """Purges each of `expiring` at once and then every `interval_s`. Run any number, one is at work."""

    def __init__(
        self, expiring: Mapping[str, Expiring], leases: Leases, *, name: str, interval_s: float = INTERVAL_S
    ) -> None:
        self._expiring = expiring
        self._leases = leases
        self._name = f"retention/{name}"
        self._interval_s = interval_s

    async def run(self) -> None:
        """Purge until cancelled; whatever fails is logged and tried again."""
        await supervise(self._name, self._purge_for_ever)

    async def _purge_for_ever(self) -> None:
        async with self._leases.hold(self._name):
            while True:
                for what, expiring in self._expiring.items():
                    if purged := await expiring.purge():
                        log.info("expired_purged", what=what, purged=purged)
                await asyncio.sleep(self._interval_s)
