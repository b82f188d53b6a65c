"""Sessions as identity gives them out, and the key set by which everybody recognises them."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import jwt
import msgspec

from zekt_common.auth.sessions import Session
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity_sessions import SESSION_ALGORITHM, SESSION_AUDIENCE, SessionKeySet
from zekt_common.ports import Document, Views
from zekt_identity.key_ring import KeyRing
from zekt_identity.ledger import Ledger
from zekt_identity.projections import ENDED_ACCOUNTS, ENDED_SESSIONS, EndedAccount, place
from zekt_identity.session import SESSION_LIFE, TOLD_ON, Begin, End, SignInMethod, decider_of, stream_of

TOKEN_LIFE: Final = timedelta(hours=1)
LOOK_AGAIN_S: Final = 1.0
BETWEEN_LOOKS_S: Final = 0.1
_PAGE: Final = 1000


class Sessions:
    """Begins, renews and ends sessions. As `SessionKeys` it answers from identity's own views."""

    def __init__(self, ledger: Ledger, views: Views, ring: KeyRing, *, public_url: str, clock: Clock = utc_now) -> None:
        self._ledger = ledger
        self._views = views
        self._ring = ring
        self._public_url = public_url
        self._clock = clock
        self._known = SessionKeySet(keys=[])
        self._looked_at = float("-inf")
        self._changes = 0
        self._looking = asyncio.Lock()

    async def begin(self, session_id: str, account_id: int, *, origin: str, method: SignInMethod) -> str:
        """Store that the session begins and return its first token.

        Raises:
            SessionSpent: the sign-in that the session is named for was used before.
        """
        now = self._clock()
        begin = Begin(account_id=account_id, origin=origin, at=now, method=method, ends_at=now + SESSION_LIFE)
        await self._ledger.execute(decider_of(session_id), stream_of(session_id), begin)
        return await self.token(Session(account_id=account_id, session_id=session_id, began_at=now))

    async def token(self, session: Session) -> str:
        """Return a token of the session for an hour, or for what is left of the session."""
        now = self._clock()
        key = await self._ring.signing_key(now)
        claims = {
            "iss": self._public_url,
            "aud": SESSION_AUDIENCE,
            "sub": str(session.account_id),
            "sid": session.session_id,
            "auth_time": session.began_at.timestamp(),
            "iat": now.timestamp(),
            "exp": min(now + TOKEN_LIFE, session.began_at + SESSION_LIFE).timestamp(),
        }
        return jwt.encode(claims, key.private, algorithm=SESSION_ALGORITHM, headers={"kid": key.kid})

    async def end(self, session: Session, *, origin: str) -> None:
        """End the session: here at once, in other services within a minute."""
        end = End(origin=origin, at=self._clock())
        await self._ledger.execute(decider_of(session.session_id), stream_of(session.session_id), end)
        self.look_again()

    def look_again(self) -> None:
        """Forget what is known of keys and ends: something has changed, which a look under way may have missed."""
        self._changes += 1
        self._looked_at = float("-inf")

    async def key_set(self, key_id: str = "", /) -> SessionKeySet:
        """Return the keys and what has ended, at most a second old, or with a key of this id if there is one.

        However many ask at once, one looks; for ids that nobody knows ten times a second, and they wait for it.
        """
        asked_at = time.monotonic()
        if self._wants_look(key_id, asked_at):
            async with self._looking:
                if self._wants_look(key_id, asked_at):
                    await asyncio.sleep(self._looked_at + BETWEEN_LOOKS_S - time.monotonic())
                    await self._look_anew()
        return self._known

    def _wants_look(self, key_id: str, asked_at: float) -> bool:
        is_known = not key_id or any(key.kid == key_id for key in self._known.keys)
        return asked_at - self._looked_at > LOOK_AGAIN_S or (not is_known and self._looked_at < asked_at)

    async def _look_anew(self) -> None:
        changes, began = self._changes, time.monotonic()
        self._known = await self._look()
        self._looked_at = began if changes == self._changes else float("-inf")

    async def _look(self) -> SessionKeySet:
        keys = await self._ring.public_keys(self._clock())
        sessions = [document.id.partition(":")[2] async for document in self._ended(ENDED_SESSIONS)]
        bodies = [document.body async for document in self._ended(ENDED_ACCOUNTS)]
        accounts = [msgspec.json.decode(body, type=EndedAccount) for body in bodies]
        return SessionKeySet(
            keys=keys,
            ended_sessions=frozenset(sessions),
            ended_accounts={account.account_id: account.at for account in accounts},
        )

    async def _ended(self, partition: str) -> AsyncIterator[Document]:
        after = place(self._clock() - TOLD_ON, "")
        while page := await self._views.listing(partition, after=after, limit=_PAGE):
            for document in page:
                yield document
            after = page[-1].id
