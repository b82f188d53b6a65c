from typing import Any

import pytest

from .conftest import OWNER_ID, Running, provider


async def test_a_caller_can_wait_until_its_change_is_seen(running: Running) -> None:
    assert await running.tell(provider()) == [f"catalog/{OWNER_ID}@1"]


async def test_waiting_for_what_does_not_come_is_504_and_says_for_what(running: Running) -> None:
    answer = await running.operate("wait", {"eventIds": ["catalog/1@7"], "timeoutS": 0.01})
    assert answer.told == (504, "not_seen_yet")
    assert "catalog/1@7" in answer.body["detail"]


@pytest.mark.parametrize(
    "body", [b"", {}, {"eventIds": "x"}, {"eventIds": [], "timeoutS": 61}, {"eventIds": [], "x": 1}]
)
async def test_an_order_that_cannot_be_read_is_400(running: Running, body: Any) -> None:
    assert (await running.operate("wait", body)).told == (400, "invalid_request")


async def test_waiting_is_for_operators(running: Running) -> None:
    answer = await running.post("/api/operations/ingress/wait", {"eventIds": []}, {})
    assert answer.told == (401, "token_refused")


async def test_operators_see_what_is_stored_and_how_far_ingress_is(running: Running) -> None:
    status = await running.status()
    assert status["service"] == "ingress"
    assert status["consumers"]["router/ingress"]["caught_up"] is True
