import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from zekt_common.auth.requirements import Public
from zekt_common.kit.endpoint import routed
from zekt_common.kit.errors import json_response
from zekt_common.kit.life import Life, Phase
from zekt_common.kit.service import Route


async def answered(life: Life) -> aiohttp.ClientResponse:
    """Return what a route answers in this life."""

    async def handler(_request: web.Request) -> web.Response:
        return json_response({})

    routes = [Route(method="GET", path="/here", handler=handler, requires=Public())]
    async with TestClient(TestServer(routed(routes, life))) as client, client.get("/here") as response:
        await response.read()
        return response


async def test_a_start_that_takes_long_is_not_waited_for_any_longer() -> None:
    response = await answered(Life(patience_s=0))
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert (await response.json())["error"] == "starting"


async def test_a_start_that_failed_is_not_waited_for() -> None:
    life = Life(patience_s=3600)
    life.fail_to_start()
    assert (await answered(life)).status == 503


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.STOPPING])
async def test_once_started_requests_are_answered_to_the_end(phase: Phase) -> None:
    life = Life(patience_s=0)
    life.enter(phase)
    assert (await answered(life)).status == 200
