"""Notes what happened, durably, before the caller goes on; what was noted already costs nothing."""

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.clock import Clock, utc_now
from zekt_common.errors import StreamConflict
from zekt_identity import audit
from zekt_identity.audit import AccessRefused, TokenGiven, TokenKind
from zekt_identity.identity_event import IdentityEvent
from zekt_identity.ledger import Ledger

REMEMBERED: Final = 10_000
REFUSALS_PER_MINUTE: Final = 300
_OVERFLOW: Final = "elsewhere"
UNKNOWN: Final = "unknown"
"""Whoever was refused without saying credibly who it is."""


class Auditor:
    """The audit of this process; names of streams keep replicas from noting the same twice."""

    def __init__(self, ledger: Ledger, *, clock: Clock = utc_now) -> None:
        self._ledger = ledger
        self._clock = clock
        self._noted: OrderedDict[str, asyncio.Task[bool]] = OrderedDict()
        self._minute = audit.minute_of(clock())
        self._refusals: Counter[bool] = Counter()

    async def token_given(  # noqa: PLR0913 - who, what for, which token, to what
        self,
        *,
        caller: str,
        origin: str,
        kind: TokenKind,
        purpose: str,
        token: str,
        account_id: int,
        installation_id: int | None = None,
        repository_ids: Sequence[int] = (),
    ) -> None:
        """Note a token's first use by this caller for this purpose, and further ones once a minute.

        One that was noted before and is forgotten here, or was noted by another replica, is used further.
        """
        now = self._clock()
        first = audit.stream_of("first", caller, purpose, hashlib.sha256(token.encode()).hexdigest())
        minute = audit.minute_of(now)
        again = audit.stream_of("again", caller, purpose, kind, account_id, installation_id, minute)
        event = TokenGiven(
            account_id=account_id,
            actor=caller,
            origin=origin,
            at=now,
            kind=kind,
            purpose=purpose,
            is_new=True,
            installation_id=installation_id,
            repository_ids=tuple(repository_ids),
        )
        if self._is_noted(first) or not await self._once(first, event):
            await self._once(again, msgspec.structs.replace(event, at=minute, is_new=False))

    async def refused(
        self, *, route: str, error: str, origin: str, actor: str = UNKNOWN, account_id: int = audit.NOBODY
    ) -> None:
        """Note a refusal, once a minute for each route, code, caller and network; a flood from many is cut short.

        Whoever is known is counted apart, so that a flood from nobody hides nothing of what they tried.
        """
        minute = audit.minute_of(self._clock())
        stream = audit.stream_of("refused", route, error, origin, actor, account_id, minute)
        is_known = account_id != audit.NOBODY or actor != UNKNOWN
        if stream not in self._noted and self._is_flooded(minute, is_known=is_known):
            route, origin, actor, account_id = "", _OVERFLOW, UNKNOWN, audit.NOBODY
            stream = audit.stream_of("refused", error, origin, minute)
        event = AccessRefused(account_id=account_id, actor=actor, origin=origin, at=minute, route=route, error=error)
        await self._once(stream, event)

    def _is_flooded(self, minute: datetime, *, is_known: bool) -> bool:
        """Count the different refusals of this minute."""
        if minute != self._minute:
            self._minute, self._refusals = minute, Counter()
        self._refusals[is_known] += 1
        return self._refusals[is_known] > REFUSALS_PER_MINUTE

    def _is_noted(self, stream: str) -> bool:
        """Return whether it is stored, as far as is remembered."""
        task = self._noted.get(stream)
        return task is not None and task.done()

    async def _once(self, stream: str, event: IdentityEvent) -> bool:
        """Return once it is stored; False if it was before, by another replica or by this one long ago."""
        task = self._noted.get(stream)
        if task is None:
            task = self._noted[stream] = asyncio.create_task(self._note(stream, event))
            task.add_done_callback(lambda done: self._forget_failed(stream, done))
            if len(self._noted) > REMEMBERED:
                self._noted.popitem(last=False)
        return await asyncio.shield(task)

    async def _note(self, stream: str, event: IdentityEvent) -> bool:
        try:
            await self._ledger.note(stream, event)
        except StreamConflict:
            return False
        return True

    def _forget_failed(self, stream: str, done: asyncio.Task[bool]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._noted.pop(stream, None)
