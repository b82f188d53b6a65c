"""Service tokens from Entra ID: kept, renewed in good time, and acquired by one thread however many ask at once."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from zekt_common.auth.service_tokens import ServiceTokenUnavailable

RENEW_BEFORE_S: Final = 300.0
USABLE_UNTIL_S: Final = 60.0
WAIT_S: Final = 10.0
AGAIN_S: Final = 5.0

log = structlog.get_logger()


@dataclass(frozen=True)
class AcquiredToken:
    """A token and how long it lives from when it was acquired."""

    value: str = field(repr=False)
    life_s: float


class EntraTokens:
    """The tokens of this process. `acquire` blocks, and raises ServiceTokenUnavailable.

    A token is renewed behind its users' backs in its last five minutes. Nobody waits longer than 10 s, and after a
    failure Entra ID is left alone for as long as it says, as for 5 s after a token however short its life.
    """

    def __init__(
        self,
        acquire: Callable[[], AcquiredToken],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait_s: float = WAIT_S,
    ) -> None:
        self._acquire = acquire
        self._monotonic = monotonic
        self._wait_s = wait_s
        self._kept: AcquiredToken | None = None
        self._expires_at = float("-inf")
        self._failure: ServiceTokenUnavailable | None = None
        self._not_before = float("-inf")
        self._acquiring: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """Return a token that lives for a minute yet.

        Raises:
            ServiceTokenUnavailable: Entra ID cannot be reached, is slow, fails or refuses.
        """
        if self._left_s() < RENEW_BEFORE_S:
            renewal = self._renewal()
            if self._left_s() < USABLE_UNTIL_S:
                await self._finish(renewal)
        if self._kept is None or self._left_s() < USABLE_UNTIL_S:
            raise self._unavailable()
        return self._kept.value

    def _left_s(self) -> float:
        return self._expires_at - self._monotonic()

    def _renewal(self) -> asyncio.Task[None] | None:
        """Return the one acquisition under way, begun now if it may be; none while Entra ID is left alone."""
        if self._acquiring is None and self._monotonic() >= self._not_before:
            self._acquiring = asyncio.create_task(self._renew())
        return self._acquiring

    async def _finish(self, renewal: asyncio.Task[None] | None) -> None:
        if renewal is None:
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.shield(renewal)
        except TimeoutError:
            raise ServiceTokenUnavailable("Entra ID is slow to give a token", retry_after_s=AGAIN_S) from None

    async def _renew(self) -> None:
        try:
            asked_at = self._monotonic()
            self._kept = await asyncio.to_thread(self._acquire)
            self._expires_at = asked_at + self._kept.life_s
            self._not_before = asked_at + AGAIN_S
            self._failure = None
            log.info("service_token_acquired", life_s=int(self._kept.life_s))
        except ServiceTokenUnavailable as failure:
            self._failure = failure
            self._not_before = self._monotonic() + failure.retry_after_s
            log.warning("service_token_not_acquired", reason=str(failure))
        finally:
            self._acquiring = None

    def _unavailable(self) -> ServiceTokenUnavailable:
        """Return a fresh error of the last failure, since many may raise it at once."""
        if self._failure is None:
            return ServiceTokenUnavailable("Entra ID gave a token that hardly lives", retry_after_s=AGAIN_S)
        pause_s = max(self._not_before - self._monotonic(), 1.0)
        return ServiceTokenUnavailable(str(self._failure), retry_after_s=pause_s)
