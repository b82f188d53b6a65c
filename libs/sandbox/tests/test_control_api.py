import json
from typing import Any

import jwt
import pytest

from zekt_sandbox import GitHubSandbox, NotLoopbackError, sign

CI = ".github/workflows/ci.yml"


async def test_a_suite_is_set_up_and_tried_over_http_alone(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    async def control(method: str, path: str, body: Any = None) -> Any:
        answer = await caller.call(method, "/_sandbox" + path, body=body)
        assert answer.status in (200, 201, 204), answer.text
        return answer.json if answer.text else None

    await control("POST", "/reset")
    assert (await control("POST", "/organizations", {"login": "gamma", "id": 4_100_000_000}))["id"] == 4_100_000_000
    await control("POST", "/users", {"login": "mona"})
    repository = await control("POST", "/repositories", {"full_name": "gamma/app", "private": False})
    await control("POST", "/workflows", {"repository": "gamma/app", "path": CI, "name": "CI"})
    installation = await control("POST", "/installations", {"account": "gamma", "repositories": ["gamma/app"]})
    await control("PUT", "/webhook_url", {"url": receiver.url})
    run = await control("POST", "/runs", {"repository": "gamma/app", "workflow": CI, "actor": "mona", "branch": "dev"})
    assert (run["actor"]["login"], run["head_branch"], run["status"]) == ("mona", "dev", "in_progress")
    done = await control("POST", f"/runs/{run['id']}/complete", {"conclusion": "failure"})
    assert (done["run"]["conclusion"], done["deliveries"][0]["status_code"]) == ("failure", 202)
    again = await control("POST", f"/runs/{run['id']}/rerun", {"send": False})
    assert again["run_attempt"] == 2
    unsent = await control("POST", f"/runs/{run['id']}/complete", {"send": False, "through": ["app"]})
    request = unsent["deliveries"][0]["request"]
    assert request["headers"]["X-Hub-Signature-256"] == sign(sandbox.webhook_secret, request["body"].encode())
    assert len(receiver.requests) == 3
    token = await caller.token(installation["id"])
    assert (await caller.dispatch("gamma/app", token)).status == 204
    listed = await control("GET", "/dispatches?repository=gamma/app&wait=1")
    assert (listed["received"], listed["accepted_in_all"]) == (1, 1)
    [dispatch] = listed["dispatches"]
    assert dispatch["client_payload"] == {"zekt": {}}
    assert dispatch["repository_id"] == repository["id"]


async def test_oidc_tokens_are_minted_over_http(sandbox: GitHubSandbox, caller: Any) -> None:
    run = await sandbox.start_run("acme/provider", CI, send=False)
    body = {"run_id": run.id, "claims": {"run_attempt": "9"}, "forgery": "none"}
    minted = (await caller.call("POST", "/_sandbox/oidc/tokens", body=body)).json["token"]
    assert jwt.get_unverified_header(minted)["alg"] == "none"
    assert jwt.decode(minted, options={"verify_signature": False})["run_attempt"] == "9"
    asked = await caller.call("GET", f"/_sandbox/oidc/request/{run.id}?audience=api://other")
    assert jwt.decode(asked.json["value"], options={"verify_signature": False})["aud"] == "api://other"
    kid = (await caller.call("POST", "/_sandbox/oidc/rotate", body={"retire_old": True})).json["kid"]
    keys = (await caller.call("GET", "/oidc/.well-known/jwks")).json["keys"]
    assert [key["kid"] for key in keys] == [kid]


async def test_credentials_are_handed_out(sandbox: GitHubSandbox, caller: Any) -> None:
    credentials = (await caller.call("GET", "/_sandbox/credentials")).json
    assert credentials["app_id"] == sandbox.app_id
    assert credentials["private_key"] == sandbox.private_key_pem
    assert credentials["webhook_secret"] == sandbox.webhook_secret
    assert credentials["issuer"] == sandbox.issuer == sandbox.url + "/oidc"


async def test_faults_and_limits_are_switched_over_http(caller: Any) -> None:
    fault = {"kind": "secondary", "path": "/users/*", "retry_after_s": 3, "delay_s": 0}
    assert (await caller.call("POST", "/_sandbox/faults", body=fault)).status == 201
    assert (await caller.call("GET", "/users/acme")).headers["retry-after"] == "3"
    assert (await caller.call("GET", "/_sandbox/faults")).json[0]["taken"] == 1
    assert (await caller.call("DELETE", "/_sandbox/faults")).status == 204
    assert (await caller.call("PATCH", "/_sandbox/limits", body={"enabled": False})).json["enabled"] is False
    assert (await caller.call("GET", "/_sandbox/limits")).json["content_per_minute"] == 80


async def test_tokens_are_revoked_and_expire_over_http(caller: Any) -> None:
    token = await caller.token(72)
    assert (await caller.call("POST", "/_sandbox/tokens/revoke", body={"installation_id": 72})).json == {"revoked": 1}
    assert (await caller.dispatch("beta/consumer", token)).status == 401
    token = await caller.token(72)
    assert (await caller.call("POST", "/_sandbox/clock", body={"advance_s": 3601})).status == 200
    assert (await caller.dispatch("beta/consumer", token)).status == 401


async def test_repositories_and_installations_change_over_http(caller: Any) -> None:
    renamed = await caller.call("PATCH", "/_sandbox/repositories/beta/other", body={"name": "renamed"})
    assert renamed.json["full_name"] == "beta/renamed"
    suspended = await caller.call("PATCH", "/_sandbox/installations/72", body={"suspended": True})
    assert suspended.json["suspended_at"] is not None
    assert (await caller.call("DELETE", "/_sandbox/installations/72")).status == 204
    assert (await caller.app("GET", "/app/installations/72")).status == 404


async def test_reactions_hooks_and_events_are_set_over_http(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    path = "/_sandbox/repositories/acme/provider/reaction"
    assert (await caller.call("PUT", path, body={"workflow": CI, "conclusion": None})).status == 200
    assert (await caller.dispatch("acme/provider", await caller.token(71))).status == 204
    assert (await caller.call("POST", "/_sandbox/settle")).status == 204
    hook = {"repository": "acme/provider", "url": receiver.url, "secret": "s"}
    assert (await caller.call("POST", "/_sandbox/hooks", body=hook)).json["target_type"] == "repository"
    event = {"event": "ping", "payload": {"zen": "Keep it logically awesome."}}
    assert (await caller.call("POST", "/_sandbox/events", body=event)).status == 201
    assert [headers["X-GitHub-Event"] for headers, _ in receiver.requests] == ["workflow_run", "workflow_run", "ping"]
    sent = (await caller.call("GET", "/_sandbox/deliveries")).json
    assert [one["event"] for one in sent] == ["workflow_run", "workflow_run", "ping"]
    assert len(sandbox.dispatches()) == 1


async def test_dispatches_are_counted_and_cleared_over_http(sandbox: GitHubSandbox, caller: Any) -> None:
    token = (await caller.call("POST", "/_sandbox/workflow_tokens", body={"repository": "beta/consumer"})).json["token"]
    await caller.dispatch("beta/consumer", token)
    await caller.dispatch("beta/consumer", "ghs_unknown")
    counted = (await caller.call("GET", "/_sandbox/dispatches?counts_only=true")).json
    assert counted == {"received": 2, "accepted_in_all": 1}
    assert (await caller.call("DELETE", "/_sandbox/dispatches")).status == 204
    assert sandbox.dispatches() == []


async def test_waiting_for_dispatches_ends_when_time_runs_out(sandbox: GitHubSandbox, caller: Any) -> None:
    assert not await sandbox.wait_for_dispatches(1, timeout_s=0.01)
    listed = await caller.call("GET", "/_sandbox/dispatches?wait=1&timeout_s=0.01")
    assert listed.json["accepted_in_all"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/organizations", {}),
        ("/organizations", []),
        ("/organizations", {"login": "acme"}),
        ("/organizations", {"login": "new", "surprise": 1}),
        ("/repositories", {"full_name": "no-slash"}),
        ("/repositories", {"full_name": "beta/consumer"}),
        ("/repositories", {"full_name": "beta/new", "private": "yes"}),
        ("/installations", {"account": "beta"}),
        ("/faults", {"kind": "explode"}),
        ("/clock", {"advance_s": "1"}),
    ],
)
async def test_a_control_that_makes_no_sense_is_refused_with_a_reason(caller: Any, path: str, body: Any) -> None:
    answer = await caller.call("POST", "/_sandbox" + path, body=body)
    assert (answer.status, answer.json["error"]) == (400, "invalid")
    assert answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows", {"repository": "beta/nowhere", "path": CI}),
        ("/runs", {"repository": "acme/provider", "workflow": "none.yml"}),
        ("/runs/5/complete", {}),
        ("/installations", {"account": "nobody"}),
        ("/oidc/tokens", {"run_id": 5}),
    ],
)
async def test_a_control_over_something_unknown_is_not_found(caller: Any, path: str, body: Any) -> None:
    answer = await caller.call("POST", "/_sandbox" + path, body=body)
    assert (answer.status, answer.json["error"]) == (404, "unknown")


async def test_an_unknown_conclusion_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    run = await sandbox.start_run("acme/provider", CI, send=False)
    answer = await caller.call("POST", f"/_sandbox/runs/{run.id}/complete", body={"conclusion": "great"})
    assert answer.status == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104  refused, which is the point
async def test_the_stand_in_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        async with GitHubSandbox.start(host=host):
            raise AssertionError(host)


async def test_ids_repeat_from_start_to_start_and_runs_follow_the_seed(sandbox: GitHubSandbox) -> None:
    async def ids(seed: int) -> tuple[int, int]:
        async with GitHubSandbox.start(seed=seed, private_key_pem=sandbox.private_key_pem) as other:
            repository = other.create_repository("acme/provider")
            other.create_workflow("acme/provider", CI)
            return repository.id, (await other.start_run("acme/provider", CI)).id

    assert await ids(0) == await ids(0)
    (repository, run), (same_repository, other_run) = await ids(0), await ids(1)
    assert (repository == same_repository, run == other_run) == (True, False)


async def test_a_dispatch_of_many_bytes_and_few_characters_is_kept_as_sent(sandbox: GitHubSandbox, caller: Any) -> None:
    body = {"event_type": "e", "client_payload": {"text": "ä" * 30_000}}
    assert (await caller.dispatch("beta/consumer", await caller.token(72), body)).status == 204
    assert json.loads(sandbox.dispatches()[0].body) == body
