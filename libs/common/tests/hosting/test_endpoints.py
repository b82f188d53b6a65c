"""What a hosted service answers: paths, ports, bodies, errors and who is let in."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from libs.common.tests.hosting.stage import Stage, answer_of, echo, route, settings

from zekt_common.auth.operator import ensure_operator_token
from zekt_common.auth.requirements import Operator, ServiceRole
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import Refusal
from zekt_common.kit.host import serving
from zekt_common.kit.service import Route


def raising(error: BaseException) -> Callable[[web.Request], Any]:
    async def handler(_request: web.Request) -> web.Response:
        raise error

    return handler


async def test_unknown_paths_and_methods_are_json(stage: Stage, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving([stage.service(route(echo))], settings(tmp_path)) as hosted:
        async with http.get(f"{hosted.url}/nowhere") as response:
            status, body = await answer_of(response)
            assert (status, body["error"]) == (404, "not_found")
        async with http.delete(f"{hosted.url}/here") as response:
            assert response.headers["Allow"] == "POST"
            status, body = await answer_of(response)
            assert (status, body["error"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "target",
    [
        "/open/..%2Fhere%2Fx",
        "/open/%2e%2e/here/x",
        "/open/../here/x",
        "/here/./x",
        "/here/..",
        "/here/.hidden",
        "/here//x",
        "//here/x",
        "/here/x\\y",
        "/here/x%5Cy",
        "/here/%78",
        "/here/..;/x",
        "/here/x;y=1",
        "/h%C3%A9re/x",
        "/nowhere/..%2Fhere%2Fx",
        "http://127.0.0.1/here/x",
    ],
)
async def test_a_path_that_a_gateway_could_read_differently_reaches_no_handler(
    stage: Stage, tmp_path: Path, target: str
) -> None:
    reading = route(stage.answer_later, method="GET", path="/{any:.*}")
    async with serving([stage.service(reading)], settings(tmp_path)) as hosted:
        for url in (hosted.url, hosted.internal_url):
            status, body = await raw_get(url, target)
            assert (status, body["error"]) == (400, "path_not_plain")
    assert not stage.entered.is_set()


@pytest.mark.parametrize("target", ["/here/x?name=run%2F1%2F..//2", "/here/evt-1_a.b/?", "/here/0a/", "/here/x"])
async def test_a_plain_path_reaches_its_handler_whatever_its_query_says(
    stage: Stage, tmp_path: Path, target: str
) -> None:
    stage.may_answer.set()
    reading = route(stage.answer_later, method="GET", path="/here/{rest:.*}")
    async with serving([stage.service(reading)], settings(tmp_path)) as hosted:
        assert (await raw_get(hosted.url, target))[0] == 200


async def raw_get(url: str, target: str) -> tuple[int, Any]:
    """Ask for this very target, which a client would tidy up, and return the answer's status and JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


async def test_internal_routes_are_on_the_internal_port_alone(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    service = stage.service(route(echo, internal=True))
    async with serving([service], settings(tmp_path)) as hosted:
        async with http.post(f"{hosted.url}/here", data=b"x") as response:
            assert response.status == 404
        async with http.post(f"{hosted.internal_url}/here", data=b"x") as response:
            assert response.status == 200


async def test_a_door_for_services_is_never_opened_to_the_outside(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="/here takes service tokens, so it must be internal"):
        async with serving([stage.service(route(echo, requires=ServiceRole("r")))], settings(tmp_path)):
            raise AssertionError("it must not start")


def test_a_route_that_names_no_requirement_cannot_be_made() -> None:
    fields: dict[str, Any] = {"method": "GET", "path": "/here", "handler": echo}
    with pytest.raises(TypeError, match="requires"):
        Route(**fields)


@pytest.mark.parametrize("chunked", [False, True])
async def test_each_route_bounds_its_own_body(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path, *, chunked: bool
) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1000):
            yield b"x" * 1000

    small, large = route(echo, max_body_bytes=4000), route(echo, path="/large", max_body_bytes=3_000_000)
    async with serving([stage.service(small, large)], settings(tmp_path)) as hosted:
        for path, size, limit in (
            ("/here", 4000, None),
            ("/here", 5000, 4000),
            ("/large", 3_000_000, None),
            ("/large", 3_001_000, 3_000_000),
        ):
            sent: Any = chunks(size) if chunked else io.BytesIO(b"x" * size)
            async with http.post(f"{hosted.url}{path}", data=sent) as response:
                status, body = await answer_of(response)
                assert status == (413 if limit else 200)
                assert f"at most {limit} bytes" in body["detail"] if limit else body == {"size": size}


async def test_a_compressed_body_arrives_as_it_was_sent(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving([stage.service(route(echo))], settings(tmp_path)) as hosted:
        headers = {"Content-Encoding": "deflate"}
        async with http.post(f"{hosted.url}/here", data=b"bomb", headers=headers) as response:
            assert await answer_of(response) == (200, {"size": 4})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refusal(422, "no_good", "Do it better."), 422, "no_good"),
        (web.HTTPBadRequest(text="odd"), 400, "bad_request"),
        (StorageUnusable("/somewhere/disk full"), 503, "storage_unusable"),
        (RuntimeError("password=hunter2"), 500, "internal_error"),
        (ConnectionResetError(), 400, "body_incomplete"),
    ],
)
async def test_errors_are_json_and_say_nothing_of_the_inside(
    stage: Stage, tmp_path: Path, error: BaseException, status: int, code: str
) -> None:
    async with (
        serving([stage.service(route(raising(error)))], settings(tmp_path)) as hosted,
        aiohttp.ClientSession() as http,
        http.post(f"{hosted.url}/here") as response,
    ):
        answered, body = await answer_of(response)
    assert (answered, body["error"]) == (status, code)
    assert "hunter2" not in str(body)
    assert "somewhere" not in str(body)


async def test_operator_routes_want_the_token_from_this_machine(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    options = settings(tmp_path)
    token = ensure_operator_token(options.data_dir)
    async with serving([stage.service(route(echo, requires=Operator()))], options) as hosted:
        for headers, expected in (
            ({"Authorization": f"Bearer {token}"}, 200),
            ({"Authorization": f"Bearer {token[:-1]}"}, 401),
            ({}, 401),
            ({"Authorization": f"Basic {token}"}, 401),
            ({"Authorization": f"Bearer {token}", "X-Forwarded-For": "10.0.0.1"}, 403),
        ):
            async with http.post(f"{hosted.url}/here", data=b"x", headers=headers) as response:
                assert (await answer_of(response))[0] == expected
