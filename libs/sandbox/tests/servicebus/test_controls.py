from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from zekt_sandbox.servicebus import ServiceBusSandbox, serving
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.message import Message

CONFIG = {
    "UserConfig": {"Namespaces": [{"Name": "n", "Topics": [{"Name": "t", "Subscriptions": [{"Name": "s"}]}]}]},
}


class Controls:
    """The controls over HTTP: (status, JSON) of each call."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: ServiceBusSandbox) -> None:
        self._session = session
        self.sandbox = sandbox

    async def call(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.sandbox.control_port}{path}"
        async with self._session.request(method, url, json=body or None) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def controls() -> AsyncIterator[Controls]:
    async with serving(CONFIG, control_port=0) as sandbox, aiohttp.ClientSession() as session:
        yield Controls(session, sandbox)


async def test_connections_faults_and_counts_are_shown(controls: Controls) -> None:
    controls.sandbox.namespace.topic("t").accept([Message(), Message()])
    counts = {"active": 2, "locked": 0, "scheduled": 0, "deferred": 0, "dead_lettered": 0}
    assert await controls.call("GET", "/") == (
        200,
        {
            "connections": 0,
            "refused_connections": 0,
            "faults": {"lost_answers": 0, "refused_sends": 0, "delay_s": 0.0, "max_connections": 0},
            "topics": {"t": {"received": 2, "duplicates": 0, "subscriptions": {"s": counts}}},
        },
    )
    assert await controls.call("GET", "/tokens") == (200, {"claims": []})


async def test_faults_are_ordered_and_cleared(controls: Controls) -> None:
    faults = controls.sandbox.faults
    assert await controls.call("POST", "/faults/lost_answers", count=3) == (200, {})
    assert await controls.call("POST", "/faults/refused_sends", count=None) == (200, {})
    assert await controls.call("POST", "/faults/delay", seconds=0.5) == (200, {})
    assert await controls.call("POST", "/faults/max_connections", count=10) == (200, {})
    assert faults == Faults(lost_answers=3, refused_sends=None, delay_s=0.5, max_connections=10)
    assert await controls.call("DELETE", "/faults") == (200, {})
    assert faults == Faults()


async def test_an_outage_leaves_the_controls_open(controls: Controls) -> None:
    await controls.call("POST", "/outage", seconds=60)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{controls.sandbox.port}")
    assert await controls.call("DELETE", "/outage") == (200, {})
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as answered:
            await session.get(f"http://127.0.0.1:{controls.sandbox.port}")
    assert not isinstance(answered.value, aiohttp.ClientConnectorError)


async def test_the_bus_is_emptied_and_its_clock_moved(controls: Controls) -> None:
    controls.sandbox.namespace.topic("t").accept([Message()])
    before = controls.sandbox.clock.now()
    await controls.call("POST", "/clock", seconds=600)
    assert controls.sandbox.clock.now() >= before + 600
    await controls.call("POST", "/purge")
    assert controls.sandbox.counts("t", "s").active == 0


async def test_connections_and_links_are_cut(controls: Controls) -> None:
    assert await controls.call("POST", "/connections/drop") == (200, {})
    assert await controls.call("POST", "/links/detach") == (200, {})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock", {}),
        ("/clock", {"seconds": -1}),
        ("/outage", {"seconds": "soon"}),
        ("/faults/lost_answers", {"count": -1}),
        ("/faults/lost_answers", {"number": 1}),
        ("/faults/delay", {"seconds": None}),
    ],
)
async def test_a_control_that_makes_no_sense_is_refused(controls: Controls, path: str, body: dict[str, Any]) -> None:
    status, answer = await controls.call("POST", path, **body)
    assert (status, answer["error"]) == (400, "invalid")


async def test_an_unknown_control_is_not_found(controls: Controls) -> None:
    assert (await controls.call("POST", "/explode"))[0] == 404
