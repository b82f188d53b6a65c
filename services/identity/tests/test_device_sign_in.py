"""Signing in from a command line: a code is typed in at GitHub, and whoever began gets a session."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from zekt_identity.device_http import BEGIN_BURST, BURST_OF_ALL, POLLS_BURST
from zekt_identity.session import SessionBegun
from zekt_sandbox import GitHubSandbox

from .conftest import Answer, Browser, Running, identity_at

PENDING, SLOW_DOWN = {"status": "authorization_pending"}, {"status": "slow_down"}


@dataclass
class Device:
    """A command line that signs in."""

    line: Browser
    begun: dict[str, Any]

    async def poll(self) -> Answer:
        return await self.line.call("POST", "/auth/device/poll", {"note": self.begun["note"]})


async def begin(identity: Running) -> Device:
    line = identity.browser()
    answer = await line.call("POST", "/auth/device")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    return Device(line, answer.body)


async def noted(identity: Running) -> set[tuple[str, str]]:
    return {(route, error) for route, error, _ in await identity.refusals()}


async def test_who_typed_in_the_code_is_signed_in_on_the_device(identity: Running) -> None:
    device = await begin(identity)
    assert device.begun["verificationUrl"] == f"{identity.sandbox.url}/login/device"
    assert (device.begun["expiresInS"], device.begun["intervalS"]) == (900, 5)
    waiting = await device.poll()
    assert (waiting.status, waiting.body) == (202, PENDING)
    identity.sandbox.answer_device(device.begun["userCode"], "octocat")
    identity.sandbox.advance_clock(5)
    signed_in = await device.poll()
    assert (signed_in.status, signed_in.body["accountId"]) == (200, 4_242)
    bearer = {"Authorization": f"Bearer {signed_in.body['token']}"}
    account = await device.line.call("GET", "/api/account", **bearer)
    assert (account.status, account.body["accountId"]) == (200, 4_242)
    assert [begun.method for begun in await identity.events(SessionBegun)] == ["device"]
    assert (await device.line.call("POST", "/auth/logout", **bearer)).status == 204
    assert (await device.line.call("GET", "/api/account", **bearer)).status == 401


async def test_a_device_that_asks_too_often_is_told_to_slow_down(identity: Running) -> None:
    device = await begin(identity)
    assert (await device.poll()).body == PENDING
    assert (await device.poll()).body == SLOW_DOWN
    identity.sandbox.advance_clock(10)
    assert (await device.poll()).body == PENDING


async def test_no_is_told_from_too_late_and_both_leave_a_note(identity: Running) -> None:
    declined, late = await begin(identity), await begin(identity)
    identity.sandbox.answer_device(declined.begun["userCode"], "octocat", authorize=False)
    assert (await declined.poll()).told == (403, "sign_in_denied")
    identity.clock.advance(seconds=901)
    assert (await late.poll()).told == (403, "sign_in_expired")
    assert {("POST /auth/device/poll", f"sign_in_{why}") for why in ("denied", "expired")} <= await noted(identity)


async def test_githubs_own_clock_ends_the_wait_too(identity: Running) -> None:
    device = await begin(identity)
    identity.sandbox.advance_clock(901)
    assert (await device.poll()).told == (403, "sign_in_expired")


async def test_an_attempt_begins_one_session_and_no_more(identity: Running) -> None:
    device = await begin(identity)
    identity.sandbox.answer_device(device.begun["userCode"], "octocat")
    assert (await device.poll()).status == 200
    assert (await device.poll()).told == (403, "sign_in_refused")
    assert len(await identity.events(SessionBegun)) == 1


@pytest.mark.parametrize("note", ["", "x", "AAAA", "é", "A" * 2000])
async def test_a_note_that_we_did_not_make_is_refused_and_github_is_not_asked(identity: Running, note: str) -> None:
    identity.sandbox.add_fault("error", path="/login/*", count=None)
    answer = await identity.browser().call("POST", "/auth/device/poll", {"note": note})
    assert answer.told == (403, "sign_in_refused")
    assert ("POST /auth/device/poll", "sign_in_refused") in await noted(identity)


async def test_a_browsers_note_is_no_devices(identity: Running) -> None:
    browser = identity.browser()
    await browser.begin()
    [note] = browser.cookies.values()
    assert (await browser.call("POST", "/auth/device/poll", {"note": note})).told == (403, "sign_in_refused")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"note": 1}', b'{"note": "x", "more": 1}'])
async def test_a_question_without_a_note_is_malformed(identity: Running, body: bytes) -> None:
    assert (await identity.browser().call("POST", "/auth/device/poll", body)).told == (400, "invalid_request")


async def test_an_app_without_the_device_flow_is_said_in_one_sentence(identity: Running) -> None:
    identity.sandbox.set_device_flow(enabled=False)
    answer = await identity.browser().call("POST", "/auth/device")
    assert answer.told == (404, "device_sign_in_off")
    assert "enable its device flow" in answer.body["detail"]


async def test_without_an_oauth_client_no_device_signs_in(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with identity_at(sandbox, tmp_path, oauth=None) as identity:
        line = identity.browser()
        assert (await line.call("POST", "/auth/device")).told == (404, "sign_in_off")
        assert (await line.call("POST", "/auth/device/poll", {"note": "x"})).told == (404, "sign_in_off")


@pytest.mark.parametrize(("path", "faulty"), [("/auth/device", "device/code"), ("/auth/device/poll", "oauth/*")])
async def test_github_failing_is_said_with_when_to_ask_again(identity: Running, path: str, faulty: str) -> None:
    device = await begin(identity)
    identity.sandbox.add_fault("secondary", path=f"/login/{faulty}", retry_after_s=7)
    answer = await device.line.call("POST", path, {"note": device.begun["note"]})
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "github_unavailable"), "7")


async def begun_from(identity: Running, address: str) -> Answer:
    return await identity.browser().call("POST", "/auth/device", X_Forwarded_For=address)


async def polled_from(identity: Running, address: str) -> Answer:
    return await identity.browser().call("POST", "/auth/device/poll", {"note": "x"}, X_Forwarded_For=address)


@pytest.fixture
async def behind_a_proxy(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    """Identity with a proxy before it, which this machine is."""
    async with identity_at(sandbox, tmp_path, trusted_proxies=(ip_network("127.0.0.1"),)) as running:
        await running.hosted.until_ready()
        yield running


async def test_one_network_begins_ten_sign_ins_and_then_waits(behind_a_proxy: Running) -> None:
    answers = [await begun_from(behind_a_proxy, f"203.0.113.{n}") for n in range(BEGIN_BURST + 1)]
    assert [answer.status for answer in answers] == [200] * BEGIN_BURST + [429]
    assert answers[-1].told == (429, "too_many_sign_ins")
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 10
    assert (await begun_from(behind_a_proxy, "203.0.114.8")).status == 200


async def test_one_network_asks_so_often_and_then_waits_and_github_is_spared(behind_a_proxy: Running) -> None:
    answers = [await polled_from(behind_a_proxy, f"2001:db8::{n:x}") for n in range(POLLS_BURST + 20)]
    assert {answer.status for answer in answers[:POLLS_BURST]} == {403}
    assert answers[-1].told == (429, "too_many_sign_ins")
    assert (await polled_from(behind_a_proxy, "2001:db8:0:1::1")).status == 403


async def test_the_nearest_proxy_says_who_it_is_and_not_the_caller(behind_a_proxy: Running) -> None:
    answers = [await begun_from(behind_a_proxy, f"198.51.{n}.1, 203.0.113.7") for n in range(BEGIN_BURST + 1)]
    assert answers[-1].told == (429, "too_many_sign_ins")


async def test_who_names_many_networks_without_a_proxy_is_one_caller(identity: Running) -> None:
    answers = [await begun_from(identity, f"203.0.{n}.7") for n in range(BEGIN_BURST + 1)]
    assert answers[-1].told == (429, "too_many_sign_ins")


async def test_many_networks_together_are_limited_too(behind_a_proxy: Running) -> None:
    behind_a_proxy.sandbox.set_device_flow(enabled=False)  # not what GitHub says, how often it is asked
    calls = [begun_from(behind_a_proxy, f"203.0.{n}.1") for n in range(BURST_OF_ALL + 60)]
    statuses = [answer.status for answer in await asyncio.gather(*calls)]
    assert 429 in statuses
    assert statuses.count(404) >= BURST_OF_ALL
