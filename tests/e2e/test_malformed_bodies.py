"""Bodies that are no JSON, not quite: each route that takes one says so, and nothing goes wrong inside."""

import re

import pytest

from tests.e2e.peopled import ADA, Peopled, name_of

BODIES = {
    "a value in no UTF-8": b'{"note": "\xff", "sku": "\xff", "from": "\xff", "eventIds": ["\xff"]}',
    "a name in no UTF-8": b'{"\xff": 1}',
    "a list in no UTF-8": b'{"accounts": [{"login": "\xff"}], "contact": {"name": "\xff"}}',
    "half a character": b'{"note": "\\ud800"}',
    "nested deeply": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested deeply where it may be": b'{"services": [{"schema": '
    + b'{"not":' * 50_000
    + b"{}"
    + b"}" * 50_000
    + b"}]}",
    "cut short": b'{"sku": "fr',
    "empty": b"",
}
TAKES_NONE = (
    "POST /auth/logout",
    "POST /auth/renew",
    "POST /auth/device",
    "PUT /api/account/repositories/{repository_id}/hook",
)


@pytest.mark.parametrize("body", BODIES)
async def test_a_malformed_body_is_its_senders_fault(peopled: Peopled, body: str) -> None:
    asked = 0
    for route in peopled.routes:
        if route.internal or route.method not in ("POST", "PUT") or name_of(route) in TAKES_NONE:
            continue
        path = re.sub(r"\{[^{}]*(\{[^{}]*\})?[^{}]*\}", str(ADA), route.path)
        status, answer = await peopled.call("sre", route.method, path, BODIES[body])
        assert status in (400, 401, 413, 422, 404), (name_of(route), answer)
        asked += 1
    assert asked > 8
