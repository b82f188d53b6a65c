"""A host's life: probes, starting, and ending in good order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from libs.common.tests.hosting.stage import Stage, answer_of, echo, route, settings

from tests.ports import free_port
from zekt_common.errors import StorageUnusable
from zekt_common.kit.host import CannotListen, Hosted, host, serving
from zekt_common.kit.service import Check
from zekt_common.kit.settings import HostSettings


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


async def test_a_connection_that_was_taken_just_before_the_end_is_heard_out(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_common.kit.host.HEARD_OUT_S", 4.0)  # by when a busy machine has sent what it is about to
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
