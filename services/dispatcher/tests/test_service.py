"""The dispatcher over real sockets: the stand-in for GitHub, identity, and the bus that the router publishes on."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.contracts.router import DeliveryRequested, Origin
from zekt_common.envelope import Envelope, NewEvent, seal
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.settings import HostSettings
from zekt_common.ports import OutgoingMessage
from zekt_dispatcher.app import build_service
from zekt_dispatcher.delivery import Policy
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.app import build_service as build_identity
from zekt_identity.settings import IdentitySettings
from zekt_sandbox import GitHubSandbox, Limits

TARGET = "beta/consumer"
DISPATCHES = "/repos/*/dispatches"


def origin() -> Origin:
    return Origin(
        repository="acme/provider",
        service_owner="acme",
        service_slug="ci-finished",
        service_alias="Acme CI",
        workflow="CI",
        conclusion="success",
    )


@dataclass
class Running:
    """Dispatcher and identity in one process, with the router's end of the bus and the dispatcher's own ports."""

    hosted: Hosted
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    backend: Backend
    data_dir: Path
    settings: DispatcherSettings
    sent: int = field(default=0)

    def requested(self, **changes: Any) -> DeliveryRequested:
        self.sent += 1
        honest: dict[str, Any] = {
            "delivery_id": f"{self.sent:032x}",
            "subscription_id": f"sub-{self.sent}",
            "repository_id": 100,
            "owner_id": 10,
            "run_id": 4711,
            "run_attempt": 1,
            "message_id": "m" * 32,
            "event_type": "deployment",
            "origin": origin(),
            "target_repository_id": 200,
            "target_repository": TARGET,
            "installation_id": 55,
            "size_bytes": 9,
            "payload": msgspec.Raw(b'{"a":"b"}'),
        }
        return DeliveryRequested(**(honest | changes))

    async def publish(self, *requests: DeliveryRequested, copy: str = "", at: datetime | None = None) -> None:
        messages = [
            OutgoingMessage(envelope=(envelope := enveloped(request, at)), message_id=envelope.id + copy)
            for request in requests
        ]
        await self.backend.bus.publish("router", messages)

    async def ask(self, **changes: Any) -> str:
        """Publish one request and return its delivery id."""
        request = self.requested(**changes)
        await self.publish(request)
        return request.delivery_id

    async def events(self, delivery_id: str) -> list[Envelope]:
        return await self.backend.store.read(f"delivery/{delivery_id}")

    async def until(self, delivery_id: str, kind: str) -> list[str]:
        """Wait until the delivery has an event of this kind and return the kinds of all that it has."""
        (feed,) = await self.backend.store.feeds()
        cursor = ""
        async with asyncio.timeout(20):
            while True:
                kinds = [event.type.removeprefix("dev.zekt.delivery.") for event in await self.events(delivery_id)]
                if kind in kinds:
                    return kinds
                page = await self.backend.store.read_feed(feed, cursor)
                cursor = page.cursor
                await self.backend.store.wait(feed, cursor, timeout_s=1)

    async def projected(self) -> None:
        """Wait until the views show all that is stored."""
        async with asyncio.timeout(10):
            lag_s = 1.0
            while lag_s > 0:
                _, status = await self.call("GET", "/api/operations/dispatcher/status")
                lag_s = status["projectors"]["dispatcher"]["lag_s"]

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        status, content, _ = await self.raw(method, path, body, token=token)
        return status, json.loads(content)

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        credential = token or ensure_operator_token(self.data_dir)
        sent = {"Authorization": f"Bearer {credential}"} | (headers or {})
        async with self.http.request(method, self.hosted.url + path, json=body, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers

    async def consumer_token(self, repository: str = TARGET) -> tuple[str, int]:
        """Start a run in the consumer's repository and return its OIDC token and run id."""
        run = await self.sandbox.start_run(repository, ".github/workflows/on-zekt.yml", send=False)
        return self.sandbox.mint_oidc_token(run.id), run.id


def enveloped(request: DeliveryRequested, at: datetime | None = None) -> Envelope:
    new = NewEvent(
        body=request,
        source="zekt/router",
        subject=f"{request.repository_id}/{request.run_id}",
        correlationid=f"{request.repository_id}/{request.run_id}",
        causationid="run/100/4711@3",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        accountid="10",
    )
    stream = f"run/100/4711/{request.delivery_id[-8:]}"
    return seal(new, stream=stream, version=1, commitid="c" * 16, time=at or datetime.now(UTC))


@asynccontextmanager
async def running(sandbox: GitHubSandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Running]:
    host = HostSettings(port=0, internal_port=0, data_dir=data_dir)
    identity = IdentitySettings(
        host=host,
        github_api_url=sandbox.url,
        app_id=sandbox.app_id,
        private_key_pem=sandbox.private_key_pem.encode(),
    )
    async with (
        serving([build_identity(identity)], host) as door,
        open_backend(data_dir, "dispatcher") as backend,
        aiohttp.ClientSession() as http,
    ):
        honest: dict[str, Any] = {
            "host": host,
            "github_api_url": sandbox.url,
            "identity_url": door.internal_url,
            "public_url": "https://zekt.example",
            "oidc_issuer": sandbox.issuer,
            "post_timeout_s": 1,
        }
        settings = DispatcherSettings(**(honest | changes))
        async with serving([build_service(settings)], host) as hosted:
            await hosted.until_ready()
            yield Running(hosted, sandbox, http, backend, data_dir, settings)


@pytest.fixture
async def sandbox() -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start(limits=Limits(enabled=False)) as started:
        started.create_repository(TARGET, id=200)
        started.create_repository("beta/other", id=201)
        started.create_repository("gamma/consumer", id=300)
        for repository in (TARGET, "beta/other"):
            started.create_workflow(repository, ".github/workflows/on-zekt.yml")
        started.create_installation("beta", id=55)
        started.create_installation("gamma", id=66)
        yield started


@pytest.fixture
async def dispatcher(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(sandbox, tmp_path) as started:
        yield started


async def test_a_requested_delivery_is_dispatched(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    assert await dispatcher.until(delivery, "dispatched") == ["requested", "attempted", "dispatched"]
    (received,) = dispatcher.sandbox.dispatches()
    sent = json.loads(received.body)
    assert received.repository == TARGET
    assert sent["event_type"] == "deployment"
    assert sent["client_payload"]["zekt"]["deliveryId"] == delivery
    assert sent["client_payload"]["customPayload"] == {"a": "b"}


async def test_every_event_is_traced_to_the_request(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    requested, attempted, dispatched = await dispatcher.events(delivery)
    stored = (requested, attempted, dispatched)
    assert {(event.subject, event.correlationid, event.accountid) for event in stored} == {
        ("100/4711", "100/4711", "10")
    }
    assert all(event.traceparent and event.traceparent[3:35] == "a" * 32 for event in stored)
    assert requested.causationid.startswith("run/100/4711/")
    assert dispatched.causationid == attempted.id
    assert requested.commitid == attempted.commitid, "the attempt is stored with the request"


async def test_repeats_of_a_request_dispatch_once(dispatcher: Running) -> None:
    request = dispatcher.requested()
    for copy in ("", "~a", "~b", "~c", "~d"):
        await dispatcher.publish(request, copy=copy)
    await dispatcher.publish(last := dispatcher.requested())
    await dispatcher.until(last.delivery_id, "dispatched")
    await dispatcher.until(request.delivery_id, "dispatched")
    await dispatcher.publish(request, copy="~later")
    await dispatcher.until(await dispatcher.ask(), "dispatched")
    assert len(await dispatcher.events(request.delivery_id)) == 3
    assert len(dispatcher.sandbox.dispatches()) == 3


async def test_a_server_error_is_retried_until_it_passes(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("error", path=DISPATCHES, count=2, status=503)
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", *(["attempted", "attempt-failed"] * 2), "attempted", "dispatched"]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_dropped_connection_is_recorded_as_ambiguous_and_tried_again(dispatcher: Running, fault: Any) -> None:
    dispatcher.sandbox.add_fault(fault, path=DISPATCHES)
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", "attempted", "attempt-ambiguous", "attempted", "dispatched"]
    _, shown = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert [attempt["outcome"] for attempt in shown["attemptList"]] == ["ambiguous", "dispatched"]
    assert shown["ambiguousAttempts"] == 1


async def test_a_slow_answer_is_ambiguous_and_no_attempt_overlaps_the_next(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("slow", path=DISPATCHES, delay_s=2)
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", "attempted", "attempt-ambiguous", "attempted", "dispatched"]


async def test_a_revoked_token_is_replaced(dispatcher: Running) -> None:
    await dispatcher.until(await dispatcher.ask(), "dispatched")
    dispatcher.sandbox.revoke_tokens()
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", "attempted", "attempt-failed", "attempted", "dispatched"]


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"target_repository": "beta/unknown"}, "gone"),
        ({"installation_id": 999}, "auth"),
        ({"target_repository_id": 999}, "auth"),
        ({"event_type": "x" * 101}, "invalid"),
        ({"target_repository": "beta/../consumer"}, "invalid"),
    ],
)
async def test_what_can_never_arrive_is_dead_lettered_at_once(
    dispatcher: Running, changes: dict[str, Any], category: str
) -> None:
    delivery = await dispatcher.ask(**changes)
    kinds = await dispatcher.until(delivery, "dead-lettered")
    assert kinds.count("attempted") <= 1
    last = json.loads(bytes((await dispatcher.events(delivery))[-1].data))
    assert last["category"] == category
    status, page = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert (status, page["status"]) == (200, "dead-lettered")


async def test_a_limited_installation_pauses_and_holds_up_no_other(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("secondary", path=f"/repos/{TARGET}/dispatches", retry_after_s=2)
    first = await dispatcher.ask()
    await dispatcher.until(first, "attempt-failed")
    paused = [await dispatcher.ask() for _ in range(10)]
    other = await dispatcher.ask(target_repository="gamma/consumer", target_repository_id=300, installation_id=66)
    await dispatcher.until(other, "dispatched")
    assert [dispatch.repository for dispatch in dispatcher.sandbox.dispatches()] == [TARGET, "gamma/consumer"]
    for delivery in paused:
        kinds = await dispatcher.until(delivery, "dispatched")
        assert kinds[:2] == ["requested", "postponed"]
        assert "attempt-failed" not in kinds


async def test_without_identity_deliveries_wait_and_none_is_lost(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with running(sandbox, tmp_path, identity_url="http://127.0.0.1:1") as dispatcher:
        delivery = await dispatcher.ask()
        assert await dispatcher.until(delivery, "postponed") == ["requested", "postponed"]
    async with running(sandbox, tmp_path) as dispatcher:
        assert "dispatched" in await dispatcher.until(delivery, "dispatched")


async def test_an_old_event_expires_unless_it_is_sent_again_on_purpose(dispatcher: Running) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=49)
    old, again = dispatcher.requested(), dispatcher.requested(is_replay=True)
    await dispatcher.publish(old, again, at=long_ago)
    assert await dispatcher.until(old.delivery_id, "expired") == ["requested", "expired"]
    await dispatcher.until(again.delivery_id, "dispatched")
    assert len(dispatcher.sandbox.dispatches()) == 1


async def test_the_last_attempt_ends_in_a_dead_letter(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    sandbox.add_fault("error", path=DISPATCHES, count=None)
    async with running(sandbox, tmp_path, policy=Policy(max_attempts=2)) as dispatcher:
        delivery = await dispatcher.ask()
        kinds = await dispatcher.until(delivery, "dead-lettered")
    assert kinds.count("attempted") == 2


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


async def test_a_stored_payload_that_fits_is_sent_inline(dispatcher: Running) -> None:
    content = json.dumps({"text": "x" * 40_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    await dispatcher.until(
        await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content)), "dispatched"
    )
    (received,) = dispatcher.sandbox.dispatches()
    assert json.loads(received.body)["client_payload"]["zekt"]["payload"] == json.loads(content)


async def test_an_expired_payload_is_a_dead_letter(dispatcher: Running) -> None:
    reference = await dispatcher.backend.payloads.put(10, b'"x"')
    gone = msgspec.structs.replace(reference, sha256="0" * 64)
    await dispatcher.until(await dispatcher.ask(payload=None, payload_ref=gone, size_bytes=3), "dead-lettered")


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
    assert (await dispatcher.call("POST", confirm, {"correlationId": "4711"}, token=target))[0] == 409
    malformed: list[Any] = [{}, {"correlationId": "../x"}, [], {"correlationId": None}]
    for body in malformed:
        assert (await dispatcher.call("POST", confirm, body, token=target))[0] == 400


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
    bad = await dispatcher.ask(target_repository="beta/unknown")
    await dispatcher.until(bad, "dead-lettered")
    await dispatcher.projected()
    _, page = await dispatcher.call("GET", "/api/deliveries?limit=3")
    assert page["deliveries"][0]["id"] == bad
    assert page["deliveries"][0]["reason"] == "404 Not Found"
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


async def test_a_finished_delivery_leaves_no_timer_behind(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("error", path=DISPATCHES, count=1)
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    assert await dispatcher.backend.views.listing("due") == []
