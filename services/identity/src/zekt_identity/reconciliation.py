"""Compares the picture of the installations with GitHub's own: at start, and then four times an hour."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from zekt_common.kit.supervision import supervise
from zekt_common.ports import Leases
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable

EVERY_S: Final = 900.0
AGAIN_S: Final = 30.0
_LEASE: Final = "identity/reconciliation"

log = structlog.get_logger()


class Reconciliation:
    """Run any number, one is at work."""

    def __init__(self, reconcile: Callable[[], Awaitable[None]], leases: Leases, *, first_after_s: float = 0.0) -> None:
        self._reconcile = reconcile
        self._leases = leases
        self._pause_s = first_after_s

    async def run(self) -> None:
        """Reconcile until cancelled; whatever fails is logged and tried again."""
        await supervise("reconciliation", self._lead)

    async def _lead(self) -> None:
        async with self._leases.hold(_LEASE):
            while True:
                await asyncio.sleep(self._pause_s)
                self._pause_s = await self._once()

    async def _once(self) -> float:
        """Return after how many seconds to do it again."""
        try:
            await self._reconcile()
        except GitHubUnavailable as error:
            log.warning("installations_not_reconciled", reason=str(error))
            return error.pause_s or AGAIN_S
        except GitHubRefused as error:
            log.warning("installations_not_reconciled", reason=error.code)
            return EVERY_S
        log.info("installations_reconciled")
        return EVERY_S
