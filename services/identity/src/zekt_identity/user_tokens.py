"""The vault of people's GitHub tokens: ciphertext under the account's data key, renewed before they expire.

A refresh token works once. Whoever renews marks the document first, so that of all replicas one asks GitHub, and stores
the new pair before anybody uses it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from zekt_common.clock import Clock, utc_now
from zekt_common.errors import DocumentConflict, KeyDestroyed, ZektError
from zekt_common.ports import Document, Put, Remove, Views
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_oauth import REFRESH_TOKEN_SPENT, GitHubOAuth, GrantRefused, UserTokens
from zekt_identity.sealing import SealBroken, Sealer

PARTITION: Final = "user-tokens"
RENEW_BEFORE: Final = timedelta(minutes=5)
CLAIM_LIFE: Final = timedelta(seconds=30)
LOOK_AGAIN_S: Final = 0.2
REFUSED_AGAIN_S: Final = 60.0
_PURPOSE: Final = "user tokens"

log = structlog.get_logger()


class SignInNeeded(ZektError):
    """There is no token of this person that works: they have to sign in again."""


class StoredTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a sign-in; the repr shows no secret."""

    login: str
    tokens: UserTokens


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The document: what is sealed, under which key, and until when somebody is renewing it."""

    key: int
    sealed: bytes
    claimed_until: datetime | None = None


class UserTokenVault:
    """One document for each account."""

    def __init__(self, views: Views, sealer: Sealer, oauth: GitHubOAuth, *, clock: Clock = utc_now) -> None:
        self._views = views
        self._sealer = sealer
        self._oauth = oauth
        self._clock = clock
        self._renewing: dict[int, asyncio.Task[StoredTokens]] = {}

    async def keep(self, account_id: int, key: int, stored: StoredTokens) -> None:
        """Store the tokens durably, in place of those before.

        Raises:
            KeyDestroyed: the account has left meanwhile.
        """
        await self._write(account_id, await self._sealed(key, stored))

    async def remove_sealed(self, account_id: int, keys: Collection[int]) -> None:
        """Forget the account's tokens if they are sealed under one of these keys; those of a later tenure are not."""

        async def is_sealed(kept: _Kept) -> bool:
            return kept.key in keys

        await self._remove_if(account_id, is_sealed)

    async def remove_granted(self, account_id: int, *, until: datetime) -> None:
        """Forget the account's tokens unless GitHub was asked for them after that; what cannot be read goes too."""

        async def is_granted(kept: _Kept) -> bool:
            try:
                granted_at = (await self._opened(kept)).tokens.granted_at
            except SignInNeeded:
                return True
            return granted_at is None or granted_at <= until

        await self._remove_if(account_id, is_granted)

    async def stored(self, account_id: int) -> StoredTokens:
        """Return what is stored, whether it still works or not.

        Raises:
            SignInNeeded: nothing is.
        """
        _, _, stored = await self._load(account_id)
        return stored

    async def usable(self, account_id: int) -> StoredTokens:
        """Return tokens that work for minutes yet, renewed if need be, by one caller for all.

        Raises:
            SignInNeeded: there are none, or they cannot be renewed.
            GitHubUnavailable: they have to be renewed, and cannot be now.
        """
        stored = await self.stored(account_id)
        if not self._is_ending(stored.tokens):
            return stored
        task = self._renewing.get(account_id)
        if task is None:
            task = self._renewing[account_id] = asyncio.create_task(self._renewed(account_id))
            task.add_done_callback(lambda _: self._renewing.pop(account_id))
        return await asyncio.shield(task)

    def _is_ending(self, tokens: UserTokens) -> bool:
        return tokens.expires_at is not None and tokens.expires_at - RENEW_BEFORE <= self._clock()

    async def _renewed(self, account_id: int) -> StoredTokens:
        while True:
            document, kept, stored = await self._load(account_id)
            if not self._is_ending(stored.tokens):
                return stored
            if kept.claimed_until is not None and kept.claimed_until > self._clock():
                await asyncio.sleep(LOOK_AGAIN_S)  # another replica is at it
                continue
            claim = msgspec.structs.replace(kept, claimed_until=self._clock() + CLAIM_LIFE)
            with contextlib.suppress(DocumentConflict):  # another replica, or a new sign-in: look again
                etag = await self._write(account_id, claim, if_match=document.etag)
                return await self._renew(account_id, claim, stored, etag)

    async def _renew(self, account_id: int, claim: _Kept, stored: StoredTokens, etag: str) -> StoredTokens:
        try:
            tokens = await self._oauth.refresh(stored.tokens.refresh_token or "")
        except (GrantRefused, GitHubRefused) as error:
            if error.code == REFRESH_TOKEN_SPENT:
                raise await self._spent(account_id, etag) from error
            await self._release(account_id, claim, etag)
            log.warning("user_tokens_not_renewed", account_id=account_id, reason=error.code)
            raise GitHubUnavailable("GitHub renews no sign-ins now", pause_s=REFUSED_AGAIN_S) from error
        except GitHubUnavailable:
            await self._release(account_id, claim, etag)
            raise
        renewed = msgspec.structs.replace(stored, tokens=tokens)
        try:
            await self._write(account_id, await self._sealed(claim.key, renewed), if_match=etag)
        except KeyDestroyed as error:
            raise SignInNeeded("the account was left meanwhile") from error
        return renewed

    async def _spent(self, account_id: int, etag: str) -> SignInNeeded:
        """Forget the pair of which GitHub says that it works no more; anything else it says may be about us."""
        await self._views.write([Remove(partition=PARTITION, id=str(account_id), if_match=etag)])
        log.info("user_tokens_spent", account_id=account_id)
        return SignInNeeded("GitHub does not renew the sign-in")

    async def _release(self, account_id: int, claim: _Kept, etag: str) -> None:
        await self._write(account_id, msgspec.structs.replace(claim, claimed_until=None), if_match=etag)

    async def _remove_if(self, account_id: int, is_meant: Callable[[_Kept], Awaitable[bool]]) -> None:
        while (document := await self._views.get(PARTITION, str(account_id))) is not None:
            if not await is_meant(msgspec.json.decode(document.body, type=_Kept)):
                return
            with contextlib.suppress(DocumentConflict):  # renewed, or of a new sign-in: look again
                await self._views.write([Remove(partition=PARTITION, id=str(account_id), if_match=document.etag)])
                return

    async def _load(self, account_id: int) -> tuple[Document, _Kept, StoredTokens]:
        document = await self._views.get(PARTITION, str(account_id))
        if document is None:
            raise SignInNeeded("nobody has signed in")
        kept = msgspec.json.decode(document.body, type=_Kept)
        return document, kept, await self._opened(kept)

    async def _opened(self, kept: _Kept) -> StoredTokens:
        try:
            content = await self._sealer.open(kept.key, _PURPOSE, kept.sealed)
        except (KeyDestroyed, SealBroken) as error:
            raise SignInNeeded("the stored sign-in cannot be read any more") from error
        return msgspec.json.decode(content, type=StoredTokens)

    async def _sealed(self, key: int, stored: StoredTokens) -> _Kept:
        sealed = await self._sealer.seal(key, _PURPOSE, msgspec.json.encode(stored))
        return _Kept(key=key, sealed=sealed)

    async def _write(self, account_id: int, kept: _Kept, *, if_match: str = "") -> str:
        put = Put(partition=PARTITION, id=str(account_id), body=msgspec.json.encode(kept), if_match=if_match)
        [etag] = await self._views.write([put])
        return etag
