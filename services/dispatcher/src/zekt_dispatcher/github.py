"""`POST /repos/{owner}/{repo}/dispatches`, through gidgethub, with every answer and silence turned into an outcome."""

import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import gidgethub
import structlog
from gidgethub.aiohttp import GitHubAPI

from zekt_common.clock import Clock, utc_now
from zekt_dispatcher.outcomes import Answer, NotTaken, Outcome, judge, judge_error

REQUESTER: Final = "zekt-dispatcher"
JSON: Final = "application/json; charset=utf-8"
CONNECT_S: Final = 5.0
_MOVED: Final = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.TEMPORARY_REDIRECT, 308)
_FULL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")

log = structlog.get_logger()


class GitHub:
    """Dispatches over a session that everybody shares."""

    def __init__(self, http: aiohttp.ClientSession, api_url: str, *, clock: Clock = utc_now) -> None:
        self._http = http
        self._api_url = api_url.rstrip("/")
        self._clock = clock

    async def dispatch(self, repository: str, body: bytes, token: str, *, timeout_s: float) -> Outcome:
        """Post the encoded dispatch to the repository and return what became of it; raises nothing but cancellation."""
        if not _FULL_NAME.fullmatch(repository) or not {".", ".."}.isdisjoint(repository.split("/")):
            return NotTaken(category="invalid", reason="the target is no repository's full name", final=True)
        call = _Call(self._http, self._api_url, timeout_s)
        try:
            path = f"/repos/{repository}/dispatches"
            await call.post(path, None, data=body, content_type=JSON, oauth_token=token)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return judge_error(error)
        except (gidgethub.GitHubException, ValueError, KeyError, TypeError, AttributeError) as error:
            if call.answer is None:
                raise
            log.debug("github_refused", error=type(error).__name__, status=call.answer.status)
        return judge(call.answer, self._clock()) if call.answer else _unanswered()


def _unanswered() -> Outcome:
    return judge_error(aiohttp.ServerDisconnectedError())


class _Call(GitHubAPI):
    """One call, whose answer is kept: gidgethub's errors know neither all statuses nor broken bodies."""

    def __init__(self, http: aiohttp.ClientSession, api_url: str, timeout_s: float) -> None:
        super().__init__(http, REQUESTER, base_url=api_url)
        self._ends_at = time.monotonic() + timeout_s
        self.answer: Answer | None = None

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        status, answered, content = await self._once(method, url, headers, body)
        if status in _MOVED and (renamed := _same_origin(url, answered.get("Location", ""))):
            # A renamed repository: aiohttp would repeat a 301 as a GET.
            status, answered, content = await self._once(method, renamed, headers, body)
        self.answer = Answer(status, answered, content)
        return status, answered, content

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        left_s = max(self._ends_at - time.monotonic(), 0.001)
        timeout = aiohttp.ClientTimeout(total=left_s, connect=min(CONNECT_S, left_s / 2))
        options: dict[str, Any] = {"timeout": timeout, "allow_redirects": False}
        async with self._session.request(method, url, headers=headers, data=body, **options) as response:
            try:
                content = await response.read()
            except (aiohttp.ClientError, TimeoutError):
                content = b""  # the status alone says what became of the dispatch
            return response.status, response.headers, content


def _same_origin(url: str, location: str) -> str | None:
    """Return where the redirect leads, unless that is somewhere else, which must not be given the token."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    return target if (here.scheme, here.netloc) == (there.scheme, there.netloc) else None
