"""What identity's public door must withstand below its routes: odd requests are refused, and nothing else happens."""

import asyncio
import base64
from urllib.parse import urlsplit

import pytest

from zekt_common.auth.sessions import COOKIE
from zekt_identity.auth_http import ATTEMPT_COOKIE

from .conftest import Running

GET_ACCOUNT, CALL_BACK = b"GET /api/account HTTP/1.1", b"GET /auth/callback?code=c&state=s HTTP/1.1"
POLL = b"POST /auth/device/poll HTTP/1.1"


def segment(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def bearer(header: bytes) -> bytes:
    return b"Authorization: Bearer " + segment(header) + b".e30.e30"


ODD = {
    "bytes in a session": (GET_ACCOUNT, f"Cookie: {COOKIE}=".encode() + b"\xff\xfe.a.b", 401),
    "bytes in an attempt": (CALL_BACK, f"Cookie: {ATTEMPT_COOKIE}=".encode() + b"\xff", 403),
    "an attempt that is no Base64": (CALL_BACK, f"Cookie: {ATTEMPT_COOKIE}=====".encode(), 403),
    "cookies that are none": (GET_ACCOUNT, f'Cookie: "; a b=c; $Path=/; =; {COOKIE}'.encode(), 401),
    "a quoted cookie": (GET_ACCOUNT, f'Cookie: {COOKIE}="a\\054b'.encode(), 401),
    "bytes in a bearer": (GET_ACCOUNT, b"Authorization: Bearer \xff\xff", 401),
    "a header of a token that is deep": (GET_ACCOUNT, bearer(b"[" * 5_000), 401),
    "a header of a token that is a list": (GET_ACCOUNT, bearer(b"[]"), 401),
    "a kid that is a number": (GET_ACCOUNT, bearer(b'{"alg":"EdDSA","kid":5}'), 401),
    "a kid that is a path": (GET_ACCOUNT, bearer(b'{"alg":"EdDSA","kid":"../../operator.token"}'), 401),
    "a header that names a key": (GET_ACCOUNT, bearer(b'{"alg":"EdDSA","jku":"http://evil.example"}'), 401),
    "a trace that is none": (GET_ACCOUNT, b"traceparent: \xff-00", 401),
    "another method in a header": (GET_ACCOUNT, b"X-HTTP-Method-Override: DELETE", 401),
    "another path in a header": (b"GET /auth/login/ HTTP/1.1", b"X-Original-URL: /internal/keys", 404),
    "two states": (b"GET /auth/callback?code=c&state=a&state=b HTTP/1.1", b"", 403),
    "a state of bytes": (b"GET /auth/callback?code=c&state=%ff%f0 HTTP/1.1", b"", 403),
    "the internal door": (b"GET /internal/keys HTTP/1.1", b"", 404),
    "dots": (b"GET /auth/../internal/keys HTTP/1.1", b"", 400),
    "an escaped slash": (b"GET /auth%2flogin HTTP/1.1", b"", 400),
    "a compressed body": (POLL, b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b00", 400),
    "a body that is too long": (POLL, b"Content-Length: 99999999999", 413),
    "a length and chunks": (POLL, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0", 400),
    "a length below nothing": (POLL, b"Content-Length: -1", 400),
    "two hosts": (b"GET /auth/login HTTP/1.1", b"Host: evil.example", 400),
    "a header that is too long": (GET_ACCOUNT, b"X: " + b"a" * 10_000, 400),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1", b"", 404),
    "an upgrade": (GET_ACCOUNT, b"Connection: Upgrade\r\nUpgrade: websocket", 401),
}


async def answered(identity: Running, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are and return the status and all that was answered at once."""
    url = urlsplit(identity.hosted.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            said = await reader.read(65_536)
        return int(said.split(b" ", 2)[1]), said
    finally:
        writer.close()


@pytest.mark.parametrize("attack", ODD)
async def test_an_odd_request_is_refused_and_opens_nothing(identity: Running, attack: str) -> None:
    line, header, expected = ODD[attack]
    status, said = await answered(identity, line + b"\r\nHost: zekt.example\r\n" + header + b"\r\n\r\n")
    assert status == expected, said
    assert b"set-cookie" not in said.lower()
    browser = identity.browser()
    await browser.sign_in()
    assert (await browser.call("GET", "/api/account")).status == 200, "the service goes on"


@pytest.mark.parametrize("path", ["/api/account", "/auth/login", "/auth/logout", "/auth/device", "/api/audit"])
async def test_no_other_origin_is_let_in(identity: Running, path: str) -> None:
    browser = identity.browser()
    await browser.sign_in()
    origin = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    preflight = await browser.call("OPTIONS", path, **origin, **asked)
    read = await browser.call("GET", path, **origin)
    assert preflight.status == 405
    for answer in (preflight, read):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_what_somebody_alone_may_see_is_kept_by_no_cache(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    for path in ("/api/account", "/api/audit", "/auth/login"):
        assert (await browser.call("GET", path)).headers["Cache-Control"] == "no-store", path


async def test_a_body_that_ends_before_its_length_changes_nothing(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    cookie = f"Cookie: {COOKIE}={browser.cookies[COOKIE]}\r\nSec-Fetch-Site: same-origin\r\n"
    url = urlsplit(identity.hosted.url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    whole = b'{"persona":"both","kind":"individual","contact":{"name":"Eve","email":"eve@evil.example"}}'
    head = f"PUT /api/account HTTP/1.1\r\nHost: x\r\n{cookie}Content-Length: {len(whole) + 1}\r\n\r\n"
    writer.write(head.encode() + whole)
    writer.close()
    await writer.wait_closed()
    assert (await browser.call("GET", "/api/account")).body["status"] == "linked"


@pytest.mark.parametrize(
    "body", [b'{"purpose": "\xff", "permissions": {}}', b'{"\xff": 1}', b'{"permissions": ' + b"[" * 30_000, b""]
)
async def test_a_services_malformed_body_is_its_own_fault(identity: Running, body: bytes) -> None:
    status, _, answer = await identity.post(body)
    assert (status, answer["error"]) == (400, "invalid_request")
