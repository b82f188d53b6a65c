import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.ports import free_port
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.auth.requirements import Operator, Public, ServiceRole
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.host import CannotListen, Hosted, host, serving
from zekt_common.kit.service import Check, Route, Service
from zekt_common.kit.settings import HostSettings

SETTINGS = HostSettings(port=0, internal_port=0)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Stage:
    """A service whose life the tests watch and steer."""

    checks: list[Check] = field(default_factory=lambda: [Check(name="open", ok=True)])
    other_checks: list[Check] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    drain_takes_s: float = 0.0

    def service(self, *routes: Route) -> Service:
        return Service(
            name="stage",
            routes=routes,
            lifespan=self._lifespan,
            drain=self._drain,
            accepting=self._report,
            checks=self._report_others,
        )

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        await self.may_open.wait()
        self.happened.append("opened")
        yield
        self.happened.append("closed")

    async def _drain(self) -> None:
        self.happened.append("draining")
        self.draining.set()
        await asyncio.sleep(self.drain_takes_s)

    async def _report(self) -> Sequence[Check]:
        return self.checks

    async def _report_others(self) -> Sequence[Check]:
        return self.other_checks

    async def answer_later(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.may_answer.wait()
        self.happened.append("answered")
        return json_response({"status": "done"})


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.may_open.set()
    return made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def settings(tmp_path: Path) -> HostSettings:
    return HostSettings(port=0, internal_port=0, data_dir=tmp_path / "zekt")


def route(handler: Any, *, method: str = "POST", path: str = "/here", **options: Any) -> Route:
    return Route(method=method, path=path, handler=handler, **({"requires": Public()} | options))


async def echo(request: web.Request) -> web.Response:
    return json_response({"size": len(await request.read())})


def raising(error: BaseException) -> Callable[[web.Request], Any]:
    async def handler(_request: web.Request) -> web.Response:
        raise error

    return handler


async def answer_of(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    assert response.content_type == "application/json"
    return response.status, json.loads(await response.read())


async def test_both_ports_answer_probes(stage: Stage, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving([stage.service()], settings(tmp_path)) as hosted:
        for url in (hosted.url, hosted.internal_url):
            async with http.get(f"{url}/live") as response:
                assert response.status == 200
            async with http.get(f"{url}/ready") as response:
                assert await answer_of(response) == (
                    200,
                    {"status": "ready", "checks": [{"name": "stage.open", "ok": True, "detail": ""}]},
                )


async def test_a_failing_check_makes_the_process_unready(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage.checks = [Check(name="open", ok=False, detail="Start the store.")]
    async with serving([stage.service()], settings(tmp_path)) as hosted, http.get(f"{hosted.url}/ready") as response:
        assert response.headers["Retry-After"] == "2"
        status, body = await answer_of(response)
        assert (status, body["status"], body["checks"][0]["detail"]) == (503, "unready", "Start the store.")


async def test_what_the_doors_do_not_need_makes_the_process_unready_and_still_accepting(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage.other_checks = [Check(name="bus", ok=False, detail="The bus is away.")]
    async with serving([stage.service()], settings(tmp_path)) as hosted:
        for url in (hosted.url, hosted.internal_url):
            async with http.get(f"{url}/ready") as response:
                status, body = await answer_of(response)
                assert (status, [check["name"] for check in body["checks"]]) == (503, ["stage.open", "stage.bus"])
            async with http.get(f"{url}/accepting") as response:
                status, body = await answer_of(response)
                assert (status, body["status"]) == (200, "accepting")
                assert [check["name"] for check in body["checks"]] == ["stage.open"]


async def test_what_the_doors_need_makes_the_process_refusing(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage.checks = [Check(name="open", ok=False, detail="Start the store.")]
    async with (
        serving([stage.service()], settings(tmp_path)) as hosted,
        http.get(f"{hosted.url}/accepting") as response,
    ):
        assert response.headers["Retry-After"] == "2"
        status, body = await answer_of(response)
        assert (status, body["status"], body["checks"][0]["detail"]) == (503, "refusing", "Start the store.")


async def test_a_process_that_ends_accepts_nothing_more(stage: Stage, tmp_path: Path) -> None:
    async with serving([stage.service()], settings(tmp_path)) as hosted:
        assert (await hosted.acceptance()).status == "accepting"
    assert (await hosted.acceptance()).status == "refusing"


async def test_checks_that_break_make_the_process_unready(stage: Stage, tmp_path: Path) -> None:
    async def broken() -> Sequence[Check]:
        raise ValueError("secret")

    service = msgspec.structs.replace(stage.service(), checks=broken)
    async with serving([service], settings(tmp_path)) as hosted:
        readiness = await hosted.readiness()
    assert readiness.status == "unready"
    assert "secret" not in str(readiness)


async def test_while_resources_open_it_is_live_says_starting_and_keeps_requests_waiting(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage.may_open.clear()
    port = free_port()
    options = HostSettings(port=port, internal_port=0, data_dir=tmp_path)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(host([stage.service(route(echo))], options, on_ready=lambda *_: ready.set(), stop=stop))
    url = f"http://127.0.0.1:{port}"
    await listening(port)
    async with http.get(f"{url}/live") as response:
        assert response.status == 200
    async with http.get(f"{url}/ready") as response:
        assert await answer_of(response) == (503, {"status": "starting", "checks": []})
    async with http.get(f"{url}/accepting") as response:
        assert await answer_of(response) == (503, {"status": "starting", "checks": []})
    early = asyncio.create_task(posted(http, f"{url}/here"))
    async with http.get(f"{url}/live") as response:
        assert response.status == 200
    assert not ready.is_set()
    assert not early.done()
    stage.may_open.set()
    await ready.wait()
    assert await early == 200
    stop.set()
    await task
    assert stage.happened == ["opened", "draining", "closed"]


async def posted(http: aiohttp.ClientSession, url: str) -> int:
    async with http.post(url, data=b"x") as response:
        return response.status


async def test_a_connection_that_was_taken_just_before_the_end_is_heard_out(stage: Stage, tmp_path: Path) -> None:
    async with serving([stage.service(route(echo))], settings(tmp_path)) as hosted:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(hosted.url.rpartition(":")[2]))
        async with aiohttp.ClientSession() as http, http.get(f"{hosted.url}/live") as response:
            assert response.status == 200, "what came later is taken, so what came before is"
        ending = asyncio.create_task(hosted.wind_down())
        await stage.draining.wait()
        for _ in range(50):
            await asyncio.sleep(0)  # turns of the loop in which it would be closed
        writer.write(b"POST /here HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\nx")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await ending


async def listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0)
            else:
                writer.close()
                return


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


async def test_a_taken_port_is_said_in_one_line(stage: Stage, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = HostSettings(port=0, internal_port=port, data_dir=tmp_path)
        with pytest.raises(CannotListen, match=f"port {port}: it is taken. ZEKT_INTERNAL_PORT sets another"):
            async with serving([stage.service()], options):
                raise AssertionError("it must not start")
    assert stage.happened == []


async def test_a_request_under_way_is_answered_before_resources_close(
    stage: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    urls: list[str] = []

    def on_ready(url: str, internal_url: str) -> None:
        urls.extend([url, internal_url])
        ready.set()

    service = stage.service(route(stage.answer_later))
    running = asyncio.create_task(host([service], settings(tmp_path), on_ready=on_ready, stop=stop))
    await ready.wait()
    request = asyncio.create_task(http.post(f"{urls[0]}/here"))
    await stage.entered.wait()
    stop.set()
    await stage.draining.wait()
    stage.may_answer.set()
    async with await request as response:
        assert response.status == 200
    await running
    assert stage.happened == ["opened", "draining", "answered", "closed"]
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.get(f"{urls[0]}/live")


async def test_a_drain_that_hangs_does_not_hold_up_the_end(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_common.kit.host.DRAINED_WITHIN_S", 0.01)
    stage.drain_takes_s = 3600
    async with asyncio.timeout(5), serving([stage.service()], settings(tmp_path)):
        assert stage.happened == ["opened"]
    assert stage.happened == ["opened", "draining", "closed"]


async def test_a_service_that_cannot_open_frees_what_the_others_opened(stage: Stage, tmp_path: Path) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        if stage.happened:
            raise StorageUnusable("no disk")
        yield

    second = msgspec.structs.replace(stage.service(), lifespan=failing)
    with pytest.raises(StorageUnusable, match="no disk"):
        async with serving([stage.service(), second], settings(tmp_path)):
            raise AssertionError("it must not start")
    assert stage.happened == ["opened", "closed"]


async def test_an_error_while_announcing_ends_the_host(stage: Stage, tmp_path: Path) -> None:
    def on_ready(_url: str, _internal_url: str) -> None:
        raise StorageUnusable("suite.json cannot be written")

    with pytest.raises(StorageUnusable, match=r"suite\.json"):
        await host([stage.service()], settings(tmp_path), on_ready=on_ready)
    assert stage.happened[-1] == "closed"


async def test_the_urls_are_where_it_listens(stage: Stage, tmp_path: Path) -> None:
    async with serving([stage.service()], settings(tmp_path)) as hosted:
        assert isinstance(hosted, Hosted)
        assert hosted.url.startswith("http://127.0.0.1:")
        assert hosted.internal_url not in ("", hosted.url)
