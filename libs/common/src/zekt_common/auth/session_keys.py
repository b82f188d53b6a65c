"""Identity's session keys in any other service: fetched from its internal port and never older than a minute."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import aiohttp
import msgspec
import structlog

from zekt_common.auth.refusals import IssuerUnreachable
from zekt_common.contracts.identity_sessions import LONGEST_KEY_ID, SESSION_KEYS_PATH, WANTED_KEY, SessionKeySet

FRESH_S: Final = 20.0
USABLE_S: Final = 60.0
BETWEEN_FETCHES_S: Final = 2.0
TIMEOUT_S: Final = 5.0
_OK: Final = 200

log = structlog.get_logger()


class SessionKeys(Protocol):
    """Where the keys and the revocations come from."""

    async def key_set(self, key_id: str, /) -> SessionKeySet:
        """Return the key set, asked for anew if a key of this id is not in the known one.

        Raises:
            IssuerUnreachable: there is none that is recent enough to be relied on.
        """
        ...


class FetchedSessionKeys:
    """Keys from identity, fetched once however many ask; after a minute without identity no session counts."""

    def __init__(
        self, http: aiohttp.ClientSession, identity_url: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._url = f"{identity_url.rstrip('/')}{SESSION_KEYS_PATH}"
        self._monotonic = monotonic
        self._known = SessionKeySet(keys=[])
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key_set(self, key_id: str, /) -> SessionKeySet:
        """Return the key set; see `SessionKeys.key_set`."""
        if self._wants_fetch(key_id):
            async with self._fetching:
                if self._wants_fetch(key_id):
                    await self._fetch(key_id)
        if self._monotonic() - self._fetched_at > USABLE_S:
            raise IssuerUnreachable("identity", int(BETWEEN_FETCHES_S))
        return self._known

    def _wants_fetch(self, key_id: str) -> bool:
        now = self._monotonic()
        is_known = any(key.kid == key_id for key in self._known.keys)
        is_stale = now - self._fetched_at > FRESH_S
        return (is_stale or not is_known) and now - self._tried_at > BETWEEN_FETCHES_S

    async def _fetch(self, key_id: str) -> None:
        self._tried_at = began = self._monotonic()
        try:
            await self._fetch_now(key_id, began)
        finally:  # whoever has waited for an answer that did not come does not wait for the next one, too
            self._tried_at = self._monotonic()

    async def _fetch_now(self, key_id: str, began: float) -> None:
        wanted = {WANTED_KEY: key_id} if len(key_id) <= LONGEST_KEY_ID else {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._http.get(self._url, params=wanted, timeout=timeout, allow_redirects=False) as response:
                content = await response.read()
            if response.status == _OK:
                self._known = msgspec.json.decode(content, type=SessionKeySet)
                self._fetched_at = began
                return
            reason = f"answered {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            reason = type(error).__name__
        log.warning("session_keys_not_fetched", reason=reason)
