"""Compares the picture of the installations with GitHub's own: at start, and then four times an hour."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from zekt_common.kit.supervision import growing_pause_s, supervise
from zekt_common.ports import Leases
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable

EVERY_S: Final = 900.0
AGAIN_S: Final = 30.0
_LEASE: Final = "identity/reconciliation"

log = structlog.get_logger()


class Reconciliation:
    """Run any number, one is at work. `reconcile` returns of how many installations GitHub told nothing."""

    def __init__(
        self,
        reconcile: Callable[[], Awaitable[int]],
        leases: Leases,
        *,
        first_after_s: float = 0.0,
        every_s: float = EVERY_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._reconcile = reconcile
        self._leases = leases
        self._pause_s = first_after_s
        self._every_s = every_s
        self._again_s = again_s
        self._in_part = 0

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
            failed = await self._reconcile()
        except GitHubUnavailable as error:
            log.warning("installations_not_reconciled", reason=str(error))
            return error.pause_s or self._again_s
        except GitHubRefused as error:
            log.warning("installations_not_reconciled", reason=error.code)
            return self._every_s
        if failed:
            return self._sooner(failed)
        self._in_part = 0
        log.info("installations_reconciled")
        return self._every_s

    def _sooner(self, failed: int) -> float:
        """Try soon what may be over soon, and ever later what seems to last."""
        self._in_part += 1
        log.warning("installations_reconciled_in_part", failed=failed)
        return growing_pause_s(self._in_part, first_s=self._again_s, longest_s=self._every_s)
