"""What GitHub's answers and silences mean for a dispatch."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import aiohttp
import msgspec

from zekt_dispatcher.delivery_events import Category

UNEXPLAINED_LIMIT_S: Final = 60.0
"""GitHub asks to wait at least a minute when it does not say how long."""
LONGEST_WAIT_S: Final = 3700.0
_MAX_REASON: Final = 200
_MAX_DIGITS: Final = 9
_WORTH_ANOTHER_TRY: Final = (408, 409, 425)


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer; `headers` are looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Taken(msgspec.Struct, frozen=True):
    """GitHub has the dispatch, and grants the installation `remaining` more requests for now, if it said how many."""

    remaining: int | None = None


class NotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """GitHub does not have the dispatch.

    `final`: it never will. `limited`: the installation has to pause for `not_before_s`. `token_rejected`: the token is
    no longer good.
    """

    category: Category
    reason: str
    status: int | None = None
    not_before_s: float = 0.0
    final: bool = False
    limited: bool = False
    token_rejected: bool = False


class InDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """GitHub may or may not have the dispatch."""

    category: Category
    reason: str


Outcome = Taken | NotTaken | InDoubt


class _Message(msgspec.Struct):
    message: str = ""


def judge(answer: Answer, now: datetime) -> Outcome:
    """Return what the answer means; `now` is what a rate limit's reset time is compared with.

    A server's error may come after it has taken the dispatch; only a 503 that says when to come back turns it away.
    """
    reason = _reason(answer)
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own numbers
        return Taken(_remaining(answer))
    if (wait_s := _limited_for_s(answer, reason, now)) is not None:
        return NotTaken(category="rate_limit", reason=reason, status=status, not_before_s=wait_s, limited=True)
    told_to_wait_s = _seconds(answer.headers.get("Retry-After"))
    if status in _WORTH_ANOTHER_TRY or (status == 503 and told_to_wait_s is not None):  # noqa: PLR2004 - as above
        return NotTaken(category="unavailable", reason=reason, status=status, not_before_s=told_to_wait_s or 0.0)
    if status >= 500:  # noqa: PLR2004 - as above
        return InDoubt(category="timeout" if status == 504 else "unavailable", reason=reason)  # noqa: PLR2004 - as above
    if status == 401:  # noqa: PLR2004 - as above
        return NotTaken(category="auth", reason=reason, status=status, token_rejected=True)
    return NotTaken(category=_final_category(status), reason=reason, status=status, final=True)


def judge_error(error: Exception) -> Outcome:
    """Return what it means that there was no answer: only what was never sent is certain not to have arrived."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotTaken(category="timeout", reason=f"no connection to GitHub in time ({name})")
    if isinstance(error, aiohttp.ClientConnectorError):
        return NotTaken(category="network", reason=f"no connection to GitHub ({name})")
    if isinstance(error, TimeoutError):
        return InDoubt(category="timeout", reason=f"GitHub did not answer in time ({name})")
    return InDoubt(category="network", reason=f"the connection ended without an answer ({name})")


def _reason(answer: Answer) -> str:
    try:
        message = msgspec.json.decode(answer.body, type=_Message).message if answer.body else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = ""
    return f"{answer.status} {message}".strip()[:_MAX_REASON]


def _limited_for_s(answer: Answer, reason: str, now: datetime) -> float | None:
    """Return for how long GitHub wants nothing of this installation, or None if that is not what it says."""
    if answer.status not in (403, 429):
        return None
    asked_s = _seconds(answer.headers.get("Retry-After"))
    if asked_s is not None:
        return asked_s
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset_s = _seconds(answer.headers.get("X-RateLimit-Reset"), most=math.inf)
        return UNEXPLAINED_LIMIT_S if reset_s is None else min(max(reset_s - now.timestamp(), 1.0), LONGEST_WAIT_S)
    told = reason.lower()
    limited = answer.status == 429 or "rate limit" in told or "abuse" in told  # noqa: PLR2004 - HTTP's own number
    return UNEXPLAINED_LIMIT_S if limited else None


def _remaining(answer: Answer) -> int | None:
    told = answer.headers.get("X-RateLimit-Remaining", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= _MAX_DIGITS else None


def _seconds(value: str | None, *, most: float = LONGEST_WAIT_S) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(max(seconds, 0.0), most) if math.isfinite(seconds) else None


def _final_category(status: int) -> Category:
    if status in (404, 410, 451) or 300 <= status < 400:  # noqa: PLR2004 - HTTP's own numbers
        return "gone"
    return "auth" if status == 403 else "invalid"  # noqa: PLR2004 - as above
