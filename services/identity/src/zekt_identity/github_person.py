"""GitHub as a person sees it: calls with their own token from the vault, which never leaves identity for it."""

import time
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from zekt_identity.auditor import Auditor
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, RateLimited, classify
from zekt_identity.github_pauses import GitHubPauses
from zekt_identity.github_slots import Slots
from zekt_identity.user_tokens import SignInNeeded, UserTokenVault

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
SLOTS_OF_EACH: Final = 5
"""Of all slots, what one person may take: theirs may be the calls that hang."""
NOT_FOUND: Final = "not_found"
FORBIDDEN: Final = "forbidden"
INVALID: Final = "invalid"
MOVED: Final = "moved"
CALLER: Final = "identity"
_CODES: Final = {301: MOVED, 302: MOVED, 307: MOVED, 403: FORBIDDEN, 404: NOT_FOUND, 422: INVALID}
_UNAUTHORISED: Final = 401
_REFUSED_FROM: Final = 300
_FAILED_FROM: Final = 500

Answer = TypeVar("Answer")


class GitHubAsPerson:
    """Acts for people, each use of a token noted in their audit before it is made."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        vault: UserTokenVault,
        auditor: Auditor,
        *,
        api_url: str,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http = http
        self._vault = vault
        self._auditor = auditor
        self._api_url = api_url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._slots = Slots()
        self._slots_of: WeakValueDictionary[int, Slots] = WeakValueDictionary()
        self._pauses = GitHubPauses()

    async def get(self, account_id: int, path: str, kind: type[Answer], *, purpose: str) -> Answer:
        """Return what GitHub shows the person.

        Raises:
            SignInNeeded: there is no token of theirs that works.
            GitHubRefused: GitHub says no; the code is NOT_FOUND, FORBIDDEN, INVALID or another.
            GitHubUnavailable: not now.
        """
        content = await self.send(account_id, "GET", path, purpose=purpose)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GitHubUnavailable("GitHub's answer makes no sense") from error

    async def send(self, account_id: int, method: str, path: str, *, purpose: str, body: Any = None) -> bytes:
        """Call GitHub for the person and return what it answers; `purpose` goes into their audit.

        Raises:
            SignInNeeded: there is no token of theirs that works.
            GitHubRefused: GitHub says no.
            GitHubUnavailable: not now.
        """
        token = (await self._vault.usable(account_id)).tokens.access_token
        await self._auditor.token_given(
            caller=CALLER, origin=CALLER, kind="user", purpose=purpose, token=token, account_id=account_id
        )
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        own = self._slots_of.setdefault(account_id, Slots(SLOTS_OF_EACH))
        async with own.one(), self._slots.one():
            with self._pauses.calling(account_id):
                return await self._answer(method, self._api_url + path, headers, body)

    async def _answer(self, method: str, url: str, headers: dict[str, str], body: Any) -> bytes:
        sent = None if body is None else msgspec.json.encode(body)
        try:
            async with self._http.request(
                method, url, headers=headers, data=sent, timeout=self._timeout, allow_redirects=False
            ) as response:
                content = await _read(response)
                if response.status >= _REFUSED_FROM:
                    raise _refusal(response, content)
                return content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GitHubUnavailable(f"GitHub cannot be reached: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise GitHubUnavailable("GitHub's answer is too long")
    return bytes(content)


def _refusal(response: aiohttp.ClientResponse, content: bytes) -> Exception:
    """Return what it means: whatever GitHub says of what one person asked for is an answer, and no outage."""
    said = _message(content)
    if response.status == _UNAUTHORISED:
        return SignInNeeded("GitHub does not accept the person's token any more")
    told = classify(response.status, said, response.headers, time.time())
    if isinstance(told, RateLimited) or response.status >= _FAILED_FROM:
        return told
    return GitHubRefused(_CODES.get(response.status, "github_refused"), f"GitHub answered {response.status}")


class _Told(msgspec.Struct):
    message: str = ""


def _message(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=_Told).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
