import hashlib
import hmac
import json
from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox, sign
from zekt_sandbox.github.errors import InvalidControlError

CI = ".github/workflows/ci.yml"


async def test_a_completed_run_is_sent_as_github_sends_it(sandbox: GitHubSandbox, receiver: Any) -> None:
    run, [delivery] = await sandbox.run_workflow("acme/provider", CI, branch="release/1", conclusion="failure")
    [(headers, body)] = receiver.requests
    assert headers["X-GitHub-Event"] == "workflow_run"
    assert headers["X-GitHub-Delivery"] == delivery.guid
    assert headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert headers["X-GitHub-Hook-Installation-Target-ID"] == str(sandbox.app_id)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    payload = json.loads(body)
    assert (payload["action"], payload["installation"]["id"]) == ("completed", 71)
    told = payload["workflow_run"]
    assert (told["id"], told["path"], told["head_branch"], told["run_attempt"]) == (run.id, CI, "release/1", 1)
    assert (told["status"], told["conclusion"], told["event"]) == ("completed", "failure", "push")
    assert told["repository"]["id"] == told["head_repository"]["id"] == payload["repository"]["id"]
    assert payload["organization"]["login"] == "acme"
    assert delivery.status_code == 202


async def test_a_webhook_is_signed_over_its_raw_bytes(sandbox: GitHubSandbox, receiver: Any) -> None:
    await sandbox.run_workflow("acme/provider", CI)
    [(headers, body)] = receiver.requests
    secret = sandbox.webhook_secret.encode()
    assert headers["X-Hub-Signature-256"] == "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == sign(sandbox.webhook_secret, body)
    assert headers["X-Hub-Signature"].startswith("sha1=")


async def test_a_payload_has_the_size_of_githubs(sandbox: GitHubSandbox, receiver: Any) -> None:
    await sandbox.run_workflow("acme/provider", CI)
    assert 17_000 < len(receiver.requests[0][1]) < 21_000


async def test_a_started_run_is_told_before_it_completes(sandbox: GitHubSandbox, receiver: Any) -> None:
    run = await sandbox.start_run("acme/provider", CI)
    await sandbox.complete_run(run.id)
    told = [json.loads(body) for _, body in receiver.requests]
    assert [one["action"] for one in told] == ["requested", "in_progress", "completed"]
    assert [one["workflow_run"]["status"] for one in told] == ["queued", "in_progress", "completed"]


async def test_one_completion_reaches_two_hooks_with_one_guid(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.create_repository_hook("acme/provider", url=receiver.url, secret="other")
    await sandbox.run_workflow("acme/provider", CI)
    (first, _), (second, body) = receiver.requests
    assert first["X-GitHub-Delivery"] == second["X-GitHub-Delivery"]
    assert second["X-GitHub-Hook-Installation-Target-Type"] == "repository"
    assert second["X-GitHub-Hook-Installation-Target-ID"] == str(json.loads(body)["repository"]["id"])
    assert second["X-Hub-Signature-256"] == sign("other", body)
    assert "installation" not in json.loads(body)


async def test_one_kind_of_hook_can_be_chosen(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.create_repository_hook("acme/provider", url=receiver.url, secret="other")
    run = await sandbox.start_run("acme/provider", CI, send=False)
    [delivery] = await sandbox.complete_run(run.id, through=["repository"])
    assert delivery.hook.target_type == "repository"


async def test_a_webhook_can_be_repeated_with_its_guid(sandbox: GitHubSandbox, receiver: Any) -> None:
    run = await sandbox.start_run("acme/provider", CI, send=False)
    await sandbox.complete_run(run.id, repeat=3)
    assert len({headers["X-GitHub-Delivery"] for headers, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 3


async def test_a_signed_request_can_be_had_instead_of_sent(sandbox: GitHubSandbox, receiver: Any) -> None:
    run = await sandbox.start_run("acme/provider", CI, send=False)
    [delivery] = sandbox.complete_run_unsent(run.id)
    assert receiver.requests == []
    assert delivery.headers["X-Hub-Signature-256"] == sign(sandbox.webhook_secret, delivery.body)


async def test_a_run_from_a_fork_names_both_repositories(sandbox: GitHubSandbox, receiver: Any) -> None:
    fork = sandbox.create_repository("gamma/provider", private=False)
    await sandbox.run_workflow("acme/provider", CI, event="pull_request", head_repository="gamma/provider")
    told = json.loads(receiver.requests[0][1])["workflow_run"]
    assert told["head_repository"]["id"] == fork.id != told["repository"]["id"]


async def test_an_account_without_the_app_sends_nothing(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.update_installation(71, suspended=True)
    _, deliveries = await sandbox.run_workflow("acme/provider", CI)
    assert (deliveries, receiver.requests) == ([], [])


async def test_any_event_can_be_sent(sandbox: GitHubSandbox, receiver: Any) -> None:
    delivery = await sandbox.send_event("installation", {"action": "created", "installation": {"id": 5}})
    [(headers, body)] = receiver.requests
    assert (headers["X-GitHub-Event"], delivery.action) == ("installation", "created")
    assert headers["X-Hub-Signature-256"] == sign(sandbox.webhook_secret, body)


async def test_an_event_needs_a_hook(sandbox: GitHubSandbox) -> None:
    with pytest.raises(InvalidControlError):
        await sandbox.send_event("installation", {})


async def test_a_failed_delivery_is_logged_and_not_tried_again(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    receiver.status = 503
    _, [delivery] = await sandbox.run_workflow("acme/provider", CI)
    await sandbox.settle()
    assert len(receiver.requests) == 1
    [listed] = (await caller.app("GET", "/app/hook/deliveries")).json
    assert (listed["id"], listed["guid"], listed["status_code"]) == (delivery.id, delivery.guid, 503)
    assert listed["status"] != "OK"


async def test_an_unreachable_receiver_is_logged(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.webhook_url = "http://127.0.0.1:1/"
    await sandbox.run_workflow("acme/provider", CI)
    [listed] = (await caller.app("GET", "/app/hook/deliveries")).json
    assert (listed["status"], listed["status_code"]) == ("failed to connect to host", 502)


async def test_a_delivery_can_be_read_and_redelivered(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    _, [delivery] = await sandbox.run_workflow("acme/provider", CI)
    full = (await caller.app("GET", f"/app/hook/deliveries/{delivery.id}")).json
    assert full["request"]["payload"] == json.loads(receiver.requests[0][1])
    assert full["response"]["payload"] == "noted"
    assert (await caller.app("POST", f"/app/hook/deliveries/{delivery.id}/attempts")).status == 202
    await sandbox.settle()
    (first, original), (second, again) = receiver.requests
    assert (first["X-GitHub-Delivery"], original) == (second["X-GitHub-Delivery"], again)
    newest, oldest = (await caller.app("GET", "/app/hook/deliveries")).json
    assert (newest["redelivery"], oldest["redelivery"]) == (True, False)
    assert newest["guid"] == oldest["guid"]


async def test_deliveries_are_paged_by_cursor_newest_first(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    for _ in range(3):
        await sandbox.run_workflow("acme/provider", CI)
    first = await caller.app("GET", "/app/hook/deliveries?per_page=2")
    following = first.headers["link"].partition("<")[2].partition(">")[0]
    second = await caller.call("GET", following, credential=sandbox.app_jwt())
    seen = [one["id"] for one in first.json + second.json]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(receiver.requests) == 3
    assert "link" not in second.headers


async def test_an_unknown_delivery_is_not_found_and_a_bad_cursor_unprocessable(caller: Any) -> None:
    assert (await caller.app("GET", "/app/hook/deliveries/1")).status == 404
    assert (await caller.app("POST", "/app/hook/deliveries/1/attempts")).status == 404
    assert (await caller.app("GET", "/app/hook/deliveries?cursor=x")).status == 422


async def test_the_delivery_log_is_the_apps_alone(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await caller.call("GET", "/app/hook/deliveries")).status == 401
    assert (await caller.call("GET", "/app/hook/deliveries", credential=await caller.token(71))).status == 401
    assert sandbox.deliveries() == []
