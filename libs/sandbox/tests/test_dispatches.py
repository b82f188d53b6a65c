import json
from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox

PATH = "/repos/beta/consumer/dispatches"


async def test_a_dispatch_is_accepted_and_recorded_as_received(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72, repositories=["consumer"], permissions={"contents": "write"})
    answer = await caller.dispatch("beta/consumer", token, {"event_type": "deployed", "client_payload": {"a": 1}})
    assert (answer.status, answer.text) == (204, "")
    [received] = sandbox.dispatches()
    assert (received.repository, received.event_type, received.status) == ("beta/consumer", "deployed", 204)
    assert json.loads(received.body)["client_payload"] == {"a": 1}
    assert "authorization" not in {name.lower() for name in received.headers}


async def test_identical_dispatches_are_counted_one_by_one(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    for _ in range(3):
        await caller.dispatch("beta/consumer", token)
    await caller.dispatch("beta/other", token)
    assert await sandbox.wait_for_dispatches(4)
    assert len(sandbox.dispatches("Beta/Consumer")) == 3
    assert [one.index for one in sandbox.dispatches(since=2)] == [2, 3]


async def test_no_credentials_are_refused(caller: Any) -> None:
    answer = await caller.dispatch("beta/consumer", None)
    assert (answer.status, answer.message) == (401, "Requires authentication")


async def test_an_unknown_token_is_refused_and_still_recorded(sandbox: GitHubSandbox, caller: Any) -> None:
    answer = await caller.dispatch("beta/consumer", "ghs_unknown")
    assert (answer.status, answer.message) == (401, "Bad credentials")
    assert [one.status for one in sandbox.dispatches()] == [401]


async def test_an_expired_token_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    sandbox.advance_clock(3601)
    assert (await caller.dispatch("beta/consumer", token)).status == 401


async def test_a_revoked_token_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    assert sandbox.revoke_tokens(installation_id=71) == 0
    assert sandbox.revoke_tokens(token=token) == 1
    assert (await caller.dispatch("beta/consumer", token)).status == 401


async def test_a_suspended_installations_token_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    sandbox.update_installation(72, suspended=True)
    assert (await caller.dispatch("beta/consumer", token)).status == 403


@pytest.mark.parametrize("repository", ["beta/other", "acme/provider", "beta/nowhere"])
async def test_a_repository_that_the_token_does_not_reach_is_not_found(caller: Any, repository: str) -> None:
    token = await caller.token(72, repositories=["consumer"])
    answer = await caller.dispatch(repository, token)
    assert (answer.status, answer.message) == (404, "Not Found")


async def test_a_token_without_contents_write_is_refused(caller: Any) -> None:
    token = await caller.token(72, permissions={"contents": "read"})
    answer = await caller.dispatch("beta/consumer", token)
    assert (answer.status, answer.message) == (403, "Resource not accessible by integration")


async def test_an_archived_repository_refuses(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.update_repository("beta/consumer", archived=True)
    answer = await caller.dispatch("beta/consumer", await caller.token(72))
    assert (answer.status, answer.message) == (403, "Repository was archived so is read-only.")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_json_object_is_a_bad_request(caller: Any, raw: bytes) -> None:
    answer = await caller.call("POST", PATH, credential=await caller.token(72), raw=raw)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, '"event_type" wasn\'t supplied.'),
        ({"event_type": 5}, "is not a string"),
        ({"event_type": ""}, "100 characters"),
        ({"event_type": "e" * 101}, "101 were supplied"),
        ({"event_type": "e", "client_payload": []}, "is not an object"),
        ({"event_type": "e", "client_payload": None}, "is not an object"),
        ({"event_type": "e", "client_payload": {str(n): n for n in range(11)}}, "No more than 10 properties"),
        ({"event_type": "e", "client_payload": {"a": "x" * 65_528}}, "client_payload is too large."),
    ],
)
async def test_an_unprocessable_dispatch_says_why(caller: Any, body: dict[str, Any], reason: str) -> None:
    answer = await caller.dispatch("beta/consumer", await caller.token(72), body)
    assert answer.status == 422
    assert reason in answer.message


async def test_the_largest_payload_under_the_limit_is_accepted(caller: Any) -> None:
    body = {"event_type": "e" * 100, "client_payload": {"a": "x" * 65_527}}
    assert (await caller.dispatch("beta/consumer", await caller.token(72), body)).status == 204


async def test_an_accepted_dispatch_can_start_a_run(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    sandbox.create_workflow("beta/consumer", ".github/workflows/on-dispatch.yml")
    sandbox.react_to_dispatches("beta/consumer", ".github/workflows/on-dispatch.yml")
    token = await caller.token(72)
    await caller.dispatch("beta/consumer", token)
    await sandbox.settle()
    runs = await caller.call("GET", "/repos/beta/consumer/actions/runs?event=repository_dispatch", credential=token)
    assert [run["conclusion"] for run in runs.json["workflow_runs"]] == ["success"]
    assert [json.loads(body)["action"] for _, body in receiver.requests] == ["requested", "in_progress", "completed"]
