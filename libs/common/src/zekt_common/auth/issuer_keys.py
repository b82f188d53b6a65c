"""An OpenID issuer's public keys: found by discovery, cached, refetched when an unknown one turns up."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from zekt_common.auth.refusals import IssuerUnreachable
from zekt_common.errors import ZektError

FRESH_S = 600.0
USABLE_S = 24 * 3600.0
BETWEEN_FETCHES_S = 10.0
BETWEEN_FAILURES_S = 1.0
TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 512 * 1024
MIN_KEY_BITS = 2048

log = structlog.get_logger()


class IssuerMisbehaved(ZektError):
    """The issuer answered something that its keys cannot be taken from."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class IssuerKeys:
    """The keys of one issuer by key id.

    Keys are refreshed after 10 minutes; while the issuer is unreachable, known ones serve up to a day longer. An
    unknown id is looked up again at most once in 10 s, with all callers sharing the fetch.
    """

    def __init__(
        self, http: aiohttp.ClientSession, issuer: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._issuer = issuer
        self._monotonic = monotonic
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def get(self, key_id: str) -> RSAPublicKey | None:
        """Return the RSA key with this id, or None when the issuer has no such key.

        Raises:
            IssuerUnreachable: it is not known whether the issuer has it.
        """
        if not self._is_current(key_id):
            async with self._fetching:
                if not self._is_current(key_id) and self._may_fetch():
                    await self._fetch()
        if self._monotonic() - self._fetched_at > USABLE_S:
            raise IssuerUnreachable(self._issuer, int(BETWEEN_FETCHES_S))
        if key_id not in self._keys and self._tried_at > self._fetched_at:
            raise IssuerUnreachable(self._issuer, int(BETWEEN_FETCHES_S))
        return self._keys.get(key_id)

    def _is_current(self, key_id: str) -> bool:
        return key_id in self._keys and self._monotonic() - self._fetched_at <= FRESH_S

    def _may_fetch(self) -> bool:
        failing = self._tried_at > self._fetched_at
        pause_s = BETWEEN_FAILURES_S if failing and not self._keys else BETWEEN_FETCHES_S
        return self._monotonic() - self._tried_at >= pause_s

    async def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            discovery = await self._document(f"{self._issuer}/.well-known/openid-configuration", _Discovery)
            self._check(discovery)
            key_set = await self._document(discovery.jwks_uri, _KeySet)
            self._keys = _usable_keys(key_set)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, IssuerMisbehaved) as error:
            log.warning("issuer_keys_not_fetched", issuer=self._issuer, reason=str(error) or type(error).__name__)
            self._tried_at = self._monotonic()  # whoever has waited for this does not wait for the next one, too
            return
        self._fetched_at = self._tried_at = self._monotonic()

    def _check(self, discovery: _Discovery) -> None:
        if discovery.issuer.rstrip("/") != self._issuer:
            raise IssuerMisbehaved(f"the discovery document is of the issuer {discovery.issuer!r}")
        if _origin(discovery.jwks_uri) != _origin(self._issuer):
            raise IssuerMisbehaved(f"the keys are not at the issuer's own origin: {discovery.jwks_uri!r}")

    async def _document(self, url: str, kind: type[msgspec.Struct]) -> Any:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._http.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP's own number
                raise IssuerMisbehaved(f"{url} answered {response.status}")
            content = await response.content.read(MAX_DOCUMENT_BYTES)
            while not response.content.at_eof() and len(content) < MAX_DOCUMENT_BYTES:
                content += await response.content.read(MAX_DOCUMENT_BYTES - len(content))
        return msgspec.json.decode(content, type=kind)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _usable_keys(key_set: _KeySet) -> dict[str, RSAPublicKey]:
    keys: dict[str, RSAPublicKey] = {}
    for jwk in key_set.keys:
        key_id = jwk.get("kid")
        if not isinstance(key_id, str) or jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
            continue
        try:
            key = jwt.PyJWK(jwk, algorithm="RS256").key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_KEY_BITS:
            keys[key_id] = key
    return keys
