import json

from services.dispatcher.tests.harness import Running


async def test_a_replay_is_a_new_delivery_marked_as_one(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    status, answer = await dispatcher.call("POST", f"/api/replay/{delivery}")
    assert (status, answer["replayOf"]) == (202, delivery)
    await dispatcher.until(answer["deliveryId"], "dispatched")
    original, replay = (json.loads(one.body)["client_payload"] for one in dispatcher.sandbox.dispatches())
    assert replay["zekt"].pop("isReplay") is True
    assert original["zekt"].pop("isReplay") is False
    assert replay["zekt"].pop("deliveryId") == answer["deliveryId"]
    del original["zekt"]["deliveryId"]
    assert replay == original
    _, shown = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert (shown["status"], shown["replays"]) == ("dispatched", [answer["deliveryId"]])
    assert (await dispatcher.call("POST", "/api/replay/unknown"))[0] == 404


async def test_operators_list_deliveries_newest_first_by_status_and_page(dispatcher: Running) -> None:
    good = [await dispatcher.ask() for _ in range(3)]
    for delivery in good:
        await dispatcher.until(delivery, "dispatched")
    bad = await dispatcher.ask(installation_id=999)
    await dispatcher.until(bad, "dead-lettered")
    await dispatcher.projected()
    _, page = await dispatcher.call("GET", "/api/deliveries?limit=3")
    assert page["deliveries"][0]["id"] == bad
    assert page["deliveries"][0]["reason"].startswith("the repository has changed hands")
    _, rest = await dispatcher.call("GET", f"/api/deliveries?limit=3&after={page['cursor']}")
    assert {one["id"] for one in page["deliveries"] + rest["deliveries"]} == {bad, *good}
    assert rest["cursor"] is None
    _, dead = await dispatcher.call("GET", "/api/deliveries?status=dead-lettered")
    assert [one["id"] for one in dead["deliveries"]] == [bad]
    _, pending = await dispatcher.call("GET", "/api/deliveries?status=pending")
    assert pending["deliveries"] == []
    for query in ("limit=0", "limit=x", "status=lost"):
        assert (await dispatcher.call("GET", f"/api/deliveries?{query}"))[0] == 400
    assert (await dispatcher.call("GET", "/api/deliveries/unknown"))[0] == 404
    assert (await dispatcher.call("GET", "/api/deliveries", token="x" * 43))[0] == 401
