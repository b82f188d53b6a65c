import asyncio
import json
from typing import Any

import pytest

from services.dispatcher.tests.harness import Running, damage_payloads
from zekt_common.kit.projector import Projector
from zekt_dispatcher.consumer_http import PAGE


async def test_a_payload_over_the_safe_size_is_fetched_by_its_target_alone(dispatcher: Running) -> None:
    content = json.dumps({"text": "x" * 100_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    delivery = await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content))
    await dispatcher.until(delivery, "dispatched")
    (received,) = dispatcher.sandbox.dispatches()
    link = json.loads(received.body)["client_payload"]["zekt"]["payloadRef"]
    assert link["url"] == f"https://zekt.example/api/payloads/{reference.sha256}"
    path = link["url"].removeprefix("https://zekt.example")
    await dispatcher.projected()

    token, _ = await dispatcher.consumer_token()
    status, fetched, headers = await dispatcher.raw("GET", path, token=token)
    assert (status, fetched) == (200, content)
    assert headers["ETag"] == f'"{reference.sha256}"'
    assert "Expires" in headers
    again = {"If-None-Match": headers["ETag"]}
    assert (await dispatcher.raw("GET", path, token=token, headers=again))[0] == 304

    stranger, _ = await dispatcher.consumer_token("beta/other")
    unknown = await dispatcher.raw("GET", f"/api/payloads/{'0' * 64}", token=stranger)
    foreign = await dispatcher.raw("GET", path, token=stranger)
    assert (foreign[0], foreign[1]) == (unknown[0], unknown[1]), "existence is nobody else's business"
    assert foreign[0] == 404
    assert (await dispatcher.raw("GET", path, token="no.token.atall"))[0] == 401
    assert (await dispatcher.raw("GET", path))[0] == 401, "the operator's token is no run's"


async def test_a_consumer_confirms_and_completes_its_delivery(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    token, run_id = await dispatcher.consumer_token()
    for _ in range(2):
        answer = await dispatcher.call("POST", "/api/event-delivery/confirm", {"correlationId": "4711"}, token=token)
        assert answer == (200, {"success": True, "deliveryId": delivery, "status": "confirmed"})
    ended = {"correlationId": "4711", "success": True, "conclusion": "success"}
    for _ in range(2):
        answer = await dispatcher.call("POST", "/api/event-delivery/complete", ended, token=token)
        assert answer == (200, {"success": True, "deliveryId": delivery, "status": "completed"})
    _, shown = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert (shown["status"], shown["conclusion"]) == ("completed", "success")
    assert len(await dispatcher.events(delivery)) == 5
    stored = json.loads(bytes((await dispatcher.events(delivery))[-1].data))
    assert stored["consumer_run_id"] == run_id


async def test_two_deliveries_of_one_run_are_confirmed_by_a_run_each(dispatcher: Running) -> None:
    first = await dispatcher.ask()
    await dispatcher.until(first, "dispatched")
    second = await dispatcher.ask()
    await dispatcher.until(second, "dispatched")
    await dispatcher.projected()
    confirmed = []
    for _ in range(2):
        token, _ = await dispatcher.consumer_token()
        for _ in range(2):
            _, answer = await dispatcher.call(
                "POST", "/api/event-delivery/confirm", {"correlationId": 4711}, token=token
            )
            confirmed.append(answer["deliveryId"])
    assert confirmed == [first, first, second, second]
    token, _ = await dispatcher.consumer_token()
    refused = await dispatcher.call("POST", "/api/event-delivery/confirm", {"correlationId": "4711"}, token=token)
    assert refused[0] == 409


async def test_nobody_confirms_what_was_not_sent_to_them(dispatcher: Running) -> None:
    delivery = await dispatcher.ask(event_type="x" * 101)
    await dispatcher.until(delivery, "dead-lettered")
    await dispatcher.projected()
    confirm = "/api/event-delivery/confirm"
    stranger, _ = await dispatcher.consumer_token("beta/other")
    target, _ = await dispatcher.consumer_token()
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=stranger))[0] == 404
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4712"}, token=target))[0] == 404
    named = {"correlationId": "4711", "deliveryId": delivery}
    assert (await dispatcher.call("POST", confirm, named, token=stranger))[0] == 404
    assert (await dispatcher.call("POST", confirm, named | {"deliveryId": "unknown"}, token=target))[0] == 404
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=target))[0] == 409
    malformed: list[Any] = [{}, {"correlationId": "../x"}, [], {"correlationId": None}]
    for body in malformed:
        assert (await dispatcher.call("POST", confirm, body, token=target))[0] == 400


async def test_who_reaches_for_anothers_delivery_is_noted_and_who_errs_about_their_own_is_not(
    dispatcher: Running,
) -> None:
    delivery = await dispatcher.ask(event_type="x" * 101)
    await dispatcher.until(delivery, "dead-lettered")
    await dispatcher.projected()
    confirm, payload = "/api/event-delivery/confirm", f"/api/payloads/{'0' * 64}"
    stranger, run_id = await dispatcher.consumer_token("beta/other")
    target, _ = await dispatcher.consumer_token()
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=target))[0] == 409
    assert (await dispatcher.call("POST", confirm, {}, token=target))[0] == 400
    assert await dispatcher.refusals() == set()
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=stranger))[0] == 404
    assert (await dispatcher.call("GET", payload, token=stranger))[0] == 404
    forged = dispatcher.sandbox.mint_oidc_token(run_id, forgery="foreign_key")
    assert (await dispatcher.call("GET", payload, token=forged))[0] == 401
    assert await dispatcher.refusals() == {
        ("repository/201", f"POST {confirm}", "delivery_not_found"),
        ("repository/201", "GET /api/payloads/{sha256}", "payload_not_found"),
        ("unknown", "GET /api/payloads/{sha256}", "token_refused"),
    }


async def test_a_delivery_named_by_its_id_is_the_one_confirmed(dispatcher: Running) -> None:
    first, second = await dispatcher.ask(), await dispatcher.ask()
    for delivery in (first, second):
        await dispatcher.until(delivery, "dispatched")
    token, _ = await dispatcher.consumer_token()
    named = {"correlationId": "4711", "deliveryId": second}
    answer = await dispatcher.call("POST", "/api/event-delivery/confirm", named, token=token)
    assert answer == (200, {"success": True, "deliveryId": second, "status": "confirmed"})
    ended = named | {"success": False, "conclusion": "failure"}
    answer = await dispatcher.call("POST", "/api/event-delivery/complete", ended, token=token)
    assert answer == (200, {"success": True, "deliveryId": second, "status": "failed"})
    assert len(await dispatcher.events(first)) == 3


async def test_of_however_many_deliveries_the_one_that_arrived_is_confirmed(dispatcher: Running) -> None:
    refused = [dispatcher.requested(event_type="x" * 101) for _ in range(PAGE + 1)]
    await dispatcher.publish(*refused)
    for request in refused:
        await dispatcher.until(request.delivery_id, "dead-lettered")
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    token, _ = await dispatcher.consumer_token()
    answer = await dispatcher.call("POST", "/api/event-delivery/confirm", {"correlationId": "4711"}, token=token)
    assert answer == (200, {"success": True, "deliveryId": delivery, "status": "confirmed"})


async def test_a_payload_that_is_damaged_is_fetched_by_nobody(dispatcher: Running) -> None:
    content = json.dumps({"text": "x" * 100_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    delivery = await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content))
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    damage_payloads(dispatcher.data_dir)
    token, _ = await dispatcher.consumer_token()
    status, answer = await dispatcher.call("GET", f"/api/payloads/{reference.sha256}", token=token)
    assert (status, answer["error"]) == (404, "payload_not_found")


async def test_while_the_views_lag_what_they_show_is_served_and_nothing_is_denied(
    dispatcher: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lagging(_: Projector) -> None:
        await asyncio.Event().wait()

    content = json.dumps({"text": "x" * 100_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    delivery = await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content))
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    monkeypatch.setattr(Projector, "wait_for_stored", lagging)
    monkeypatch.setattr("zekt_dispatcher.consumer_http.CATCH_UP_S", 0.01)
    confirm = "/api/event-delivery/confirm"
    token, _ = await dispatcher.consumer_token()
    other, _ = await dispatcher.consumer_token()
    assert (await dispatcher.raw("GET", f"/api/payloads/{reference.sha256}", token=token))[:2] == (200, content)
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=token))[0] == 200
    for unsure in (
        await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=other),
        await dispatcher.call("POST", confirm, {"correlationId": "4712"}, token=token),
        await dispatcher.call("GET", f"/api/payloads/{'0' * 64}", token=token),
    ):
        assert (unsure[0], unsure[1]["error"]) == (503, "starting")
    named = {"correlationId": "4711", "deliveryId": "unknown"}
    assert (await dispatcher.call("POST", confirm, named, token=token))[0] == 404
