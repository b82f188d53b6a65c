import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth import requirements
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.kit.consumer import Consumer, Settlement
from zekt_common.kit.consumer import DeadLetter as GiveUp
from zekt_common.kit.event_pages import EventFilter, EventReader
from zekt_common.kit.host import serving
from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.projector import Projector
from zekt_common.kit.relay import Relay
from zekt_common.kit.service import Check, Service
from zekt_common.kit.settings import HostSettings
from zekt_common.ports import OutgoingMessage


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


class Other(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.other"


def new(body: Event) -> NewEvent:
    return NewEvent(body=body, source="test", subject="s", correlationid="c", causationid="x")


def publish_all(envelope: Envelope) -> Sequence[OutgoingMessage]:
    return [OutgoingMessage(envelope=envelope)]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "router") as opened:
        yield opened


@dataclass
class Operator:
    """Calls operators' routes with the token."""

    http: aiohttp.ClientSession
    url: str
    token: str

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **options) as response:
            return response.status, json.loads(await response.read())


@asynccontextmanager
async def operated(parts: Operated, data_dir: Path) -> AsyncIterator[Operator]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield

    async def nothing_to_drain() -> None:
        await asyncio.sleep(0)

    async def checks() -> Sequence[Check]:
        return []

    routes = operations_routes("router", lambda: parts)
    service = Service(
        name="router", routes=routes, lifespan=lifespan, drain=nothing_to_drain, accepting=checks, checks=checks
    )
    settings = HostSettings(port=0, internal_port=0, data_dir=data_dir)
    async with serving([service], settings) as hosted, aiohttp.ClientSession() as http:
        yield Operator(http, hosted.url, ensure_operator_token(data_dir))


def parts_of(backend: Backend, **more: Any) -> Operated:
    return Operated(store=backend.store, bus=backend.bus, views=backend.views, **more)


def numbers(body: Any) -> list[int]:
    return [event["data"].get("n", 0) for event in body["events"]]


def test_every_route_is_the_operators(backend: Backend) -> None:
    routes = operations_routes("router", lambda: parts_of(backend))
    assert {route.requires for route in routes} == {requirements.Operator()}
    assert not any(route.internal for route in routes)


async def test_events_come_page_by_page_and_then_wait_for_more(backend: Backend, tmp_path: Path) -> None:
    for n in range(5):
        await backend.store.append(f"run/1/{n}", [new(Noted(n=n))], expected_version=0)
    async with operated(parts_of(backend), tmp_path) as operator:
        seen, cursor = [], ""
        for _ in range(3):
            _, body = await operator.call(
                "GET", "/api/operations/router/events", params={"limit": "2", "cursor": cursor}
            )
            seen.append(numbers(body))
            cursor = body["cursor"]
        assert seen == [[0, 1], [2, 3], [4]]
        query = {"cursor": cursor, "wait_s": "20"}
        waiting = asyncio.create_task(operator.call("GET", "/api/operations/router/events", params=query))
        await backend.store.append("run/1/9", [new(Noted(n=9))], expected_version=0)
        status, body = await waiting
        assert (status, numbers(body)) == (200, [9])


async def test_a_wait_without_events_ends_with_the_same_cursor(backend: Backend, tmp_path: Path) -> None:
    async with operated(parts_of(backend), tmp_path) as operator:
        _, first = await operator.call("GET", "/api/operations/router/events")
        query = {"cursor": first["cursor"], "wait_s": "0.05"}
        status, second = await operator.call("GET", "/api/operations/router/events", params=query)
        assert (status, second) == (200, {"events": [], "cursor": first["cursor"]})


async def test_one_stream_is_read_alone_from_a_version_on(backend: Backend, tmp_path: Path) -> None:
    for n in range(3):
        await backend.store.append(f"run/1/{n}", [new(Noted(n=n)), new(Noted(n=n + 10))], expected_version=0)
    async with operated(parts_of(backend), tmp_path) as operator:
        path = "/api/operations/router/stream"
        assert numbers((await operator.call("GET", path, params={"name": "run/1/1"}))[1]) == [1, 11]
        assert numbers((await operator.call("GET", path, params={"name": "run/1/1", "after": "1"}))[1]) == [11]
        assert await operator.call("GET", path, params={"name": "run/1/none"}) == (200, {"events": []})
        assert (await operator.call("GET", path, params={"name": "run/1/1", "after": "x"}))[0] == 400


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(), 200),
        (EventFilter(type=Noted.TYPE), 100),
        (EventFilter(type="dev.zekt.test.*"), 200),
        (EventFilter(stream="run/1/7"), 2),
        (EventFilter(stream="run/1/1*"), 22),
        (EventFilter(type=Other.TYPE, stream="run/1/7"), 1),
        (EventFilter(type="dev.zekt"), 0),
    ],
)
async def test_a_filter_finds_all_that_fits_whatever_the_page_size(
    backend: Backend, wanted: EventFilter, expected: int
) -> None:
    for n in range(100):
        await backend.store.append(f"run/1/{n}", [new(Noted(n=n)), new(Other())], expected_version=0)
    reader = EventReader(backend.store)
    for limit in (1, 7, 1000):
        found: list[str] = []
        cursor, before = "", "none"
        while cursor != before:
            page = await reader.read(wanted, cursor, limit)
            found += [event.id for event in page.events]
            cursor, before = page.cursor, cursor
        assert len(set(found)) == len(found) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "invalid_request"),
        ({"limit": "many"}, "invalid_request"),
        ({"limit": "nan"}, "invalid_request"),
        ({"wait_s": "1e9"}, "invalid_request"),
        ({"cursor": "garbage"}, "invalid_cursor"),
        ({"cursor": "eyJhbGwiOiAieCJ9"}, "invalid_cursor"),
        ({"cursor": "eyJhbGwiOiAxfQ=="}, "invalid_cursor"),
    ],
)
async def test_nonsense_in_a_query_is_said(backend: Backend, tmp_path: Path, query: dict[str, str], code: str) -> None:
    async with operated(parts_of(backend), tmp_path) as operator:
        status, body = await operator.call("GET", "/api/operations/router/events", params=query)
        assert (status, body["error"]) == (400, code)


async def test_dead_letters_are_listed_without_what_they_carry(backend: Backend, tmp_path: Path) -> None:
    async def give_up(_event: Any, _envelope: Envelope) -> Settlement:
        return GiveUp("it cannot be read")

    [stored] = await backend.store.append("run/1/1", [new(Noted(n=4242))], expected_version=0)
    await backend.bus.publish("ingress", [OutgoingMessage(envelope=stored)])
    consumer = Consumer(backend.bus, "ingress", "router", {Noted: give_up})
    running = asyncio.create_task(consumer.run())
    try:
        async with operated(parts_of(backend, consumers={"ingress": consumer}), tmp_path) as operator:
            async with asyncio.timeout(60):
                while not (letters := (await operator.call("GET", "/api/operations/router/dead-letters"))[1])[
                    "dead_letters"
                ]:
                    await consumer.caught_up.wait()
            [letter] = letters["dead_letters"]
            assert (letter["reason"], letter["type"], letter["stream"]) == (
                "it cannot be read",
                Noted.TYPE,
                "run/1/1",
            )
            assert "4242" not in json.dumps(letters)
            _, status = await operator.call("GET", "/api/operations/router/status")
            assert status["consumers"]["ingress"]["outcomes"] == {"dead_lettered": 1}
            assert status["consumers"]["ingress"]["backlog"] == 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_status_tells_the_relays_lag_and_the_checkpoints(backend: Backend, tmp_path: Path) -> None:
    await backend.store.append("run/1/1", [new(Noted(n=1))], expected_version=0)
    relay = Relay(backend.store, backend.bus, backend.views, backend.leases, topic="router", translate=publish_all)
    projector = Projector(backend.store, backend.views, name="runs", project=lambda _: [])
    running = asyncio.create_task(projector.run())
    try:
        await projector.caught_up.wait()
        parts = parts_of(backend, relay=relay, projectors={"runs": projector})
        async with operated(parts, tmp_path) as operator:
            status, body = await operator.call("GET", "/api/operations/router/status")
            assert (status, body["service"]) == (200, "router")
            assert body["relay"]["lag_s"] > 0
            assert (body["relay"]["published"], body["relay"]["refused"]) == (0, 0)
            assert body["projectors"]["runs"] == {"lag_s": 0.0, "projected": 1}
            assert isinstance(body["checkpoints"], dict)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_rewind_publishes_again(backend: Backend, tmp_path: Path) -> None:
    relay = Relay(backend.store, backend.bus, backend.views, backend.leases, topic="router", translate=publish_all)
    receiver = backend.bus.subscribe("router", "dispatcher")
    running = asyncio.create_task(relay.run())
    try:
        async with operated(parts_of(backend, relay=relay), tmp_path) as operator:
            await backend.store.append("run/1/1", [new(Noted(n=1))], expected_version=0)
            [first] = await receiver.receive(1, timeout_s=60)
            await receiver.complete(first)
            moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            status, body = await operator.call("POST", "/api/operations/router/relay/rewind", json={"from": moment})
            assert (status, body["status"]) == (202, "rewinding")
            [again] = await receiver.receive(1, timeout_s=60)
            assert again.message_id.startswith(first.message_id + "~w")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"from": "yesterday"}', b'{"from": "2026-01-31T08:00:00"}'])
async def test_a_rewind_wants_a_moment_with_an_offset(backend: Backend, tmp_path: Path, body: bytes) -> None:
    relay = Relay(backend.store, backend.bus, backend.views, backend.leases, topic="router", translate=publish_all)
    async with operated(parts_of(backend, relay=relay), tmp_path) as operator:
        status, answer = await operator.call("POST", "/api/operations/router/relay/rewind", data=body)
        assert (status, answer["error"]) == (400, "invalid_request")


async def test_a_rewind_for_a_subscription_that_there_is_not_is_refused(backend: Backend, tmp_path: Path) -> None:
    relay = Relay(backend.store, backend.bus, backend.views, backend.leases, topic="router", translate=publish_all)
    async with operated(parts_of(backend, relay=relay), tmp_path) as operator:
        body = {"from": "2026-01-31T08:00:00Z", "to": "identity"}
        status, answer = await operator.call("POST", "/api/operations/router/relay/rewind", json=body)
        assert (status, answer["error"]) == (400, "unknown_subscription")


async def test_a_service_without_a_relay_says_so(backend: Backend, tmp_path: Path) -> None:
    async with operated(parts_of(backend), tmp_path) as operator:
        body = {"from": "2026-01-31T08:00:00Z"}
        status, answer = await operator.call("POST", "/api/operations/router/relay/rewind", json=body)
        assert (status, answer["error"]) == (404, "no_relay")
