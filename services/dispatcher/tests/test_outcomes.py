import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from zekt_dispatcher.outcomes import Answer, InDoubt, NotTaken, Taken, judge, judge_error

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def answer(status: int, headers: Mapping[str, str] | None = None, message: str = "") -> Answer:
    body = b'{"message": "%b"}' % message.encode() if message else b""
    return Answer(status, CIMultiDict(headers or {}), body)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_means_that_github_has_it(status: int) -> None:
    assert judge(answer(status), NOW) == Taken()


@pytest.mark.parametrize(
    ("told", "remaining"), [("4711", 4711), ("0", 0), ("", None), ("many", None), ("9" * 10, None)]
)
def test_what_is_left_of_the_rate_limit_is_read_from_an_answer(told: str, remaining: int | None) -> None:
    assert judge(answer(204, {"X-RateLimit-Remaining": told}), NOW) == Taken(remaining)


@pytest.mark.parametrize(
    ("given", "category", "extra"),
    [
        (answer(503, {"Retry-After": "7"}), "unavailable", {"not_before_s": 7.0}),
        (answer(408), "unavailable", {}),
        (answer(409), "unavailable", {}),
        (answer(401), "auth", {"token_rejected": True}),
    ],
)
def test_what_may_pass_is_tried_again(given: Answer, category: str, extra: dict[str, Any]) -> None:
    expected = NotTaken(category=category, reason=str(given.status), status=given.status, **extra)  # type: ignore[arg-type]
    assert judge(given, NOW) == expected


@pytest.mark.parametrize(
    ("given", "wait_s"),
    [
        (answer(429, {"Retry-After": "30"}), 30),
        (answer(403, {"retry-after": "30"}), 30),
        (answer(403, {"Retry-After": "0"}), 0),
        (answer(429, {"Retry-After": "999999"}), 3700),
        (answer(429), 60),
        (answer(429, {"Retry-After": "tomorrow"}), 60),
        (answer(429, {"Retry-After": "nan"}), 60),
        (answer(403, message="You have exceeded a secondary rate limit."), 60),
        (answer(403, message="You have triggered an abuse detection mechanism."), 60),
        (answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 90)}), 90),
        (answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}), 1),
        (answer(403, {"x-ratelimit-remaining": "0"}), 60),
    ],
)
def test_a_rate_limit_pauses_the_installation_for_as_long_as_github_asks(given: Answer, wait_s: float) -> None:
    outcome = judge(given, NOW)
    assert isinstance(outcome, NotTaken)
    assert (outcome.category, outcome.limited, outcome.final) == ("rate_limit", True, False)
    assert outcome.not_before_s == wait_s


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (301, "gone"),
        (400, "invalid"),
        (403, "auth"),
        (404, "gone"),
        (410, "gone"),
        (413, "invalid"),
        (422, "invalid"),
        (451, "gone"),
    ],
)
def test_what_will_never_pass_is_refused_for_good(status: int, category: str) -> None:
    outcome = judge(answer(status, {"x-ratelimit-remaining": "4999"}, "Resource not accessible"), NOW)
    assert isinstance(outcome, NotTaken)
    assert (outcome.category, outcome.final, outcome.limited) == (category, True, False)
    assert outcome.reason == f"{status} Resource not accessible"


@pytest.mark.parametrize(
    ("status", "category"),
    [(500, "unavailable"), (502, "unavailable"), (503, "unavailable"), (504, "timeout"), (520, "unavailable")],
)
def test_a_gateway_that_gave_up_leaves_it_in_doubt(status: int, category: str) -> None:
    outcome = judge(answer(status), NOW)
    assert isinstance(outcome, InDoubt)
    assert outcome.category == category


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", b'{"message": 5}', b"[]", b'"text"'])
def test_a_body_that_is_no_json_message_changes_nothing(body: bytes) -> None:
    assert judge(Answer(404, CIMultiDict(), body), NOW) == NotTaken(
        category="gone", reason="404", status=404, final=True
    )


def test_reasons_are_short() -> None:
    outcome = judge(answer(422, message="x" * 5000), NOW)
    assert isinstance(outcome, NotTaken)
    assert len(outcome.reason) == 200


def connector_error(os_error: OSError) -> aiohttp.ClientConnectorError:
    key = aiohttp.client_reqrep.ConnectionKey(
        host="api.example", port=443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    return aiohttp.ClientConnectorError(key, os_error)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (connector_error(ConnectionRefusedError(111, "refused")), "network"),
        (connector_error(socket.gaierror(-2, "unknown name")), "network"),
        (aiohttp.ConnectionTimeoutError("connect"), "timeout"),
    ],
)
def test_what_was_never_sent_has_failed(error: Exception, category: str) -> None:
    outcome = judge_error(error)
    assert isinstance(outcome, NotTaken)
    assert (outcome.category, outcome.final) == (category, False)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (aiohttp.ServerDisconnectedError(), "network"),
        (aiohttp.ClientOSError(104, "reset"), "network"),
        (ConnectionResetError(104, "reset"), "network"),
        (aiohttp.SocketTimeoutError("read"), "timeout"),
        (aiohttp.ServerTimeoutError("total"), "timeout"),
        (TimeoutError(), "timeout"),
    ],
)
def test_what_was_sent_and_not_answered_is_in_doubt(error: Exception, category: str) -> None:
    outcome = judge_error(error)
    assert isinstance(outcome, InDoubt)
    assert outcome.category == category
