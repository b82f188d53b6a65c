"""GitHub's OAuth endpoints: where people say yes, and where their yes becomes tokens."""

import base64
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from zekt_common.clock import Clock, utc_now
from zekt_common.errors import ZektError
from zekt_identity.circuit import Circuit
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, RateLimited, classify
from zekt_identity.github_slots import Slots

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 256 * 1024
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_TOKEN_SPENT: Final = "bad_refresh_token"  # noqa: S105 - a word of GitHub's
"""GitHub's word for a refresh token that is wrong, used, revoked or expired."""
_OK: Final = 200
_NO_CONTENT: Final = 204

Answer = TypeVar("Answer")


class GrantRefused(ZektError):
    """GitHub gives no tokens for this code or refresh token; `code` is its word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"GitHub refuses the grant: {code}")
        self.code = code


class UserTokens(msgspec.Struct, frozen=True, kw_only=True):
    """A person's tokens as GitHub gave them out, when it was asked; the repr never shows them."""

    access_token: str
    expires_at: datetime | None
    refresh_token: str | None
    refresh_expires_at: datetime | None
    granted_at: datetime | None = None

    def __repr__(self) -> str:
        return f"UserTokens(expires_at={self.expires_at})"


class Person(msgspec.Struct, frozen=True):
    """Who a token belongs to. The id stays when the login changes."""

    id: int
    login: str


class DeviceCodes(msgspec.Struct, frozen=True):
    """What a device asks with and what it shows, in GitHub's names; times in seconds."""

    device_code: str = ""
    user_code: str = ""
    verification_uri: str = ""
    expires_in: int = 0
    interval: int = 5
    error: str | None = None

    def __repr__(self) -> str:
        return f"DeviceCodes(expires_in={self.expires_in})"


class _Granted(msgspec.Struct):
    access_token: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: int | None = None
    error: str | None = None


class GitHubOAuth:
    """Speaks for the App's client id; left alone for a while when GitHub fails."""

    def __init__(  # noqa: PLR0913 - where GitHub is and whom we speak for
        self,
        http: aiohttp.ClientSession,
        *,
        web_url: str,
        api_url: str,
        client_id: str,
        client_secret: str,
        clock: Clock = utc_now,
        timeout_s: float = TIMEOUT_S,
        slots: Slots | None = None,
    ) -> None:
        self._http = http
        self._web_url = web_url
        self._api_url = api_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._circuit = Circuit(time.monotonic)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._slots = slots or Slots()

    def authorize_url(self, *, state: str, verifier: str, redirect_uri: str) -> str:
        """Return where the person is asked; the verifier itself stays with us."""
        query = {
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._web_url}/login/oauth/authorize?{urlencode(query)}"

    async def exchange(self, code: str, *, verifier: str, redirect_uri: str) -> UserTokens:
        """Return the tokens for a code that the person's browser brought back.

        Raises:
            GrantRefused: the code is wrong, spent or somebody else's.
            GitHubUnavailable: not now.
        """
        return await self._granted({"code": code, "code_verifier": verifier, "redirect_uri": redirect_uri})

    async def device_codes(self) -> DeviceCodes:
        """Return the codes of a device that is to be signed in.

        Raises:
            GrantRefused: the App's device flow is switched off, or the client is unknown.
            GitHubRefused: likewise.
            GitHubUnavailable: not now.
        """
        url, headers = f"{self._web_url}/login/device/code", {"Accept": "application/json"}
        codes: DeviceCodes = await self._call(
            "POST", url, DeviceCodes, headers=headers, data={"client_id": self._client_id}
        )
        if codes.error is not None or not codes.device_code:
            raise GrantRefused(codes.error or "no_device_code")
        return codes

    async def exchange_device(self, device_code: str) -> UserTokens:
        """Return the tokens for a device that the person has let in.

        Raises:
            GrantRefused: the person has not yet, or never will; the code tells which.
            GitHubUnavailable: not now.
        """
        return await self._granted({"grant_type": DEVICE_GRANT, "device_code": device_code})

    async def refresh(self, refresh_token: str) -> UserTokens:
        """Return the next pair of tokens; the old pair works no more.

        Raises:
            GrantRefused: the code is REFRESH_TOKEN_SPENT, or another when it is not the token that GitHub minds.
            GitHubRefused: GitHub does not do it.
            GitHubUnavailable: not now, and it is not known whether the old pair still works.
        """
        return await self._granted({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def person(self, access_token: str) -> Person:
        """Return whose token it is.

        Raises:
            GitHubRefused: the token does not work.
            GitHubUnavailable: not now.
        """
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/vnd.github+json"}
        person: Person = await self._call("GET", f"{self._api_url}/user", Person, persons_own=True, headers=headers)
        return person

    async def revoke(self, access_token: str) -> None:
        """Have GitHub forget that the person ever said yes; a token that is unknown already is no error.

        Raises:
            GitHubRefused: GitHub does not do it.
            GitHubUnavailable: not now.
        """
        credentials = base64.b64encode(f"{self._client_id}:{self._client_secret}".encode()).decode()
        url = f"{self._api_url}/applications/{self._client_id}/grant"
        headers = {"Authorization": f"Basic {credentials}", "Accept": "application/vnd.github+json"}
        await self._call("DELETE", url, None, headers=headers, json={"access_token": access_token})

    async def _granted(self, asked: Mapping[str, str]) -> UserTokens:
        form = {"client_id": self._client_id, "client_secret": self._client_secret, **asked}
        now = self._clock()
        url, headers = f"{self._web_url}/login/oauth/access_token", {"Accept": "application/json"}
        granted = await self._call("POST", url, _Granted, headers=headers, data=form)
        if granted.error is not None or not granted.access_token:
            raise GrantRefused(granted.error or "no_token")
        return UserTokens(
            access_token=granted.access_token,
            expires_at=_after(now, granted.expires_in),
            refresh_token=granted.refresh_token,
            refresh_expires_at=_after(now, granted.refresh_token_expires_in),
            granted_at=now,
        )

    async def _call(
        self, method: str, url: str, kind: type[Answer] | None, *, persons_own: bool = False, **sent: Any
    ) -> Any:
        async with self._slots.one():
            with self._calling(persons_own=persons_own):
                return await self._answer(method, url, kind, **sent)

    @contextmanager
    def _calling(self, *, persons_own: bool) -> Iterator[None]:
        """Let the block call GitHub, if it may be now; a call with a person's token meets a limit of their own."""
        blocked_s = self._circuit.blocked_for_s()
        if blocked_s:
            raise GitHubUnavailable("GitHub has been failing and is left alone for a while", pause_s=blocked_s)
        try:
            yield
        except GitHubUnavailable as error:
            if persons_own and isinstance(error, RateLimited):
                self._circuit.succeeded()
            else:
                self._circuit.failed(error.pause_s)
            raise
        except GitHubRefused:
            self._circuit.succeeded()
            raise
        except BaseException:
            self._circuit.failed()
            raise
        self._circuit.succeeded()

    async def _answer(self, method: str, url: str, kind: type[Answer] | None, **sent: Any) -> Answer | None:
        try:
            async with self._http.request(
                method, url, timeout=self._timeout, allow_redirects=False, **sent
            ) as response:
                content = await _content(response.content)
                if response.status not in (_OK, _NO_CONTENT):
                    raise classify(response.status, "GitHub refused", response.headers, time.time())
            return None if kind is None else msgspec.json.decode(content, type=kind)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GitHubUnavailable(f"GitHub cannot be reached: {type(error).__name__}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GitHubUnavailable("GitHub's answer makes no sense") from error


async def _content(stream: aiohttp.StreamReader) -> bytes:
    """Return the whole body, in however many pieces it arrives; a longer one than is sensible is cut, and so broken."""
    content = bytearray()
    async for piece in stream.iter_any():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            break
    return bytes(content[:MAX_ANSWER_BYTES])


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _after(moment: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)
