import asyncio
from typing import Any

import aiohttp
import pytest

from zekt_sandbox import GitHubSandbox, Limits
from zekt_sandbox.github.errors import InvalidControlError

DISPATCHES = "/repos/*/*/dispatches"


async def test_every_answer_says_what_is_left(caller: Any) -> None:
    token = await caller.token(72)
    first = await caller.call("GET", "/installation/repositories", credential=token)
    second = await caller.dispatch("beta/nowhere", token)
    assert first.headers["x-ratelimit-limit"] == "5000"
    assert (first.headers["x-ratelimit-used"], second.headers["x-ratelimit-used"]) == ("1", "2")
    assert second.headers["x-ratelimit-remaining"] == "4998"
    assert int(second.headers["x-ratelimit-reset"]) > 0


async def test_the_primary_limit_refuses_until_it_resets(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(primary_per_hour=2)
    token = await caller.token(72)
    answers = [await caller.dispatch("beta/consumer", token) for _ in range(3)]
    assert [answer.status for answer in answers] == [204, 204, 403]
    assert answers[2].message == "API rate limit exceeded for installation ID 72."
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert (await caller.app("GET", "/app")).status == 200
    sandbox.advance_clock(3600)
    assert (await caller.dispatch("beta/consumer", await caller.token(72))).status == 204


async def test_callers_without_credentials_have_a_small_limit(caller: Any) -> None:
    answers = [await caller.call("GET", "/users/acme") for _ in range(61)]
    assert [answers[59].status, answers[60].status] == [200, 403]


@pytest.mark.parametrize(
    ("limit", "accepted"), [({"content_per_minute": 3}, 3), ({"content_per_hour": 2}, 2), ({"points_per_minute": 9}, 1)]
)
async def test_a_secondary_limit_says_when_to_come_back(
    sandbox: GitHubSandbox, caller: Any, limit: dict[str, int], accepted: int
) -> None:
    sandbox.set_limits(**limit)
    token = await caller.token(72)
    answers = [await caller.dispatch("beta/consumer", token) for _ in range(accepted + 1)]
    assert [answer.status for answer in answers] == [204] * accepted + [403]
    assert "secondary rate limit" in answers[-1].message
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert len(sandbox.dispatches()) == accepted + 1


async def test_reads_cost_less_than_writes(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(points_per_minute=4)
    token = sandbox.mint_workflow_token("beta/consumer").value
    reads = [await caller.call("GET", "/repos/beta/consumer", credential=token) for _ in range(5)]
    assert [answer.status for answer in reads] == [200, 200, 200, 200, 403]


async def test_a_repository_takes_so_many_trigger_events_in_ten_seconds(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(triggers_per_10_s=1)
    token = await caller.token(72)
    statuses = [(await caller.dispatch(f"beta/{name}", token)).status for name in ("consumer", "consumer", "other")]
    assert statuses == [204, 429, 204]
    sandbox.advance_clock(10)
    assert (await caller.dispatch("beta/consumer", token)).status == 204


async def test_too_many_requests_at_once_are_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(concurrent=1)
    token = await caller.token(72)
    sandbox.add_fault("slow", path=DISPATCHES, delay_s=2, count=2)  # by when both have come on a busy machine
    answers = await asyncio.gather(*(caller.dispatch("beta/consumer", token) for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [204, 403]
    assert (await caller.dispatch("beta/consumer", token)).status == 204


async def test_a_secondary_limit_can_be_answered_429(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(content_per_minute=0, secondary_status=429)
    assert (await caller.dispatch("beta/consumer", await caller.token(72))).status == 429


async def test_limits_can_be_switched_off(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(enabled=False, content_per_minute=1)
    token = await caller.token(72)
    assert {(await caller.dispatch("beta/consumer", token)).status for _ in range(3)} == {204}


async def test_the_issuer_and_the_controls_have_no_limit(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(unauthenticated_per_hour=0)
    for path in ("/oidc/.well-known/jwks", "/_sandbox/limits"):
        answer = await caller.call("GET", path)
        assert answer.status == 200
        assert "x-ratelimit-limit" not in answer.headers


def test_the_default_limits_are_githubs() -> None:
    assert Limits() == Limits(True, 5_000, 60, 100, 900, 80, 500, 1_500, 403)  # noqa: FBT003  written out as a table


async def test_an_unknown_limit_is_an_error(sandbox: GitHubSandbox) -> None:
    with pytest.raises(InvalidControlError):
        sandbox.set_limits(per_year=1)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_error_strikes_so_often_and_nothing_is_done(sandbox: GitHubSandbox, caller: Any, status: int) -> None:
    token = await caller.token(72)
    sandbox.add_fault("error", method="POST", path=DISPATCHES, status=status, count=2)
    statuses = [(await caller.dispatch("beta/consumer", token)).status for _ in range(3)]
    assert statuses == [status, status, 204]
    assert [one.processed for one in sandbox.dispatches()] == [False, False, True]


async def test_an_error_after_processing_hides_that_it_was_done(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    sandbox.add_fault("error_after", path=DISPATCHES)
    assert (await caller.dispatch("beta/consumer", token)).status == 502
    assert [one.processed for one in sandbox.dispatches()] == [True]


@pytest.mark.parametrize("status", [403, 429])
async def test_a_secondary_limit_can_be_ordered(sandbox: GitHubSandbox, caller: Any, status: int) -> None:
    token = await caller.token(72)
    sandbox.add_fault("secondary", path=DISPATCHES, status=status, retry_after_s=7)
    answer = await caller.dispatch("beta/consumer", token)
    assert (answer.status, answer.headers["retry-after"]) == (status, "7")


@pytest.mark.parametrize(("kind", "processed"), [("drop_before", False), ("drop_after", True)])
async def test_a_dropped_connection_is_recorded_without_an_answer(
    sandbox: GitHubSandbox, caller: Any, kind: str, *, processed: bool
) -> None:
    token = await caller.token(72)
    sandbox.add_fault(kind, path=DISPATCHES)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.dispatch("beta/consumer", token)
    [received] = sandbox.dispatches()
    assert (received.processed, received.status) == (processed, None)


async def test_a_fault_strikes_only_what_it_names(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    sandbox.add_fault("error", method="POST", path="/repos/beta/consumer/*", count=None)
    assert (await caller.dispatch("beta/other", token)).status == 204
    assert (await caller.call("GET", "/repos/beta/consumer", credential=token)).status == 200
    assert {(await caller.dispatch("beta/consumer", token)).status for _ in range(3)} == {502}
    assert [fault.taken for fault in sandbox.faults()] == [3]
    sandbox.clear_faults()
    assert (await caller.dispatch("beta/consumer", token)).status == 204


async def test_the_issuer_can_be_down(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.add_fault("error", path="/oidc/*", status=503)
    assert (await caller.call("GET", "/oidc/.well-known/jwks")).status == 503


async def test_an_unknown_fault_is_an_error(sandbox: GitHubSandbox) -> None:
    with pytest.raises(InvalidControlError):
        sandbox.add_fault("explode")
