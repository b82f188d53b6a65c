from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox

CI = ".github/workflows/ci.yml"
RUNS = "/repos/acme/provider/actions/runs"


async def test_accounts_are_public(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_user("octocat", id=583231)
    assert (await caller.call("GET", "/users/OctoCat")).json["id"] == 583231
    organization = (await caller.call("GET", "/orgs/acme")).json
    assert (organization["login"], organization["type"]) == ("acme", "Organization")
    assert (await caller.call("GET", "/orgs/octocat")).status == 404
    assert (await caller.call("GET", "/users/nobody")).status == 404


async def test_a_repository_is_found_by_name_and_by_id(caller: Any) -> None:
    token = await caller.token(72)
    found = (await caller.call("GET", "/repos/BETA/consumer", credential=token)).json
    assert (found["full_name"], found["owner"]["login"], found["private"]) == ("beta/consumer", "beta", True)
    assert (await caller.call("GET", f"/repositories/{found['id']}", credential=token)).json["id"] == found["id"]
    assert (await caller.call("GET", "/repositories/1", credential=token)).status == 404


async def test_a_private_repository_is_hidden_and_a_public_one_is_not(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(71)
    assert (await caller.call("GET", "/repos/beta/consumer")).status == 404
    assert (await caller.call("GET", "/repos/beta/consumer", credential=token)).status == 404
    sandbox.update_repository("beta/consumer", private=False)
    assert (await caller.call("GET", "/repos/beta/consumer")).status == 200
    assert (await caller.call("GET", "/repos/beta/consumer", credential="ghs_unknown")).status == 401


async def test_a_renamed_repository_keeps_its_id(sandbox: GitHubSandbox, caller: Any) -> None:
    before = sandbox.create_repository("beta/old-name").id
    sandbox.update_repository("beta/old-name", name="new-name")
    token = await caller.token(72)
    assert (await caller.call("GET", "/repos/beta/new-name", credential=token)).json["id"] == before
    assert (await caller.call("GET", "/repos/beta/old-name", credential=token)).status == 404


async def test_a_tokens_repositories_are_listed_page_by_page(sandbox: GitHubSandbox, caller: Any) -> None:
    for number in range(3):
        sandbox.create_repository(f"beta/more-{number}")
    token = await caller.token(72)
    first = await caller.call("GET", "/installation/repositories?per_page=3", credential=token)
    second = await caller.call("GET", "/installation/repositories?per_page=3&page=2", credential=token)
    assert first.json["total_count"] == second.json["total_count"] == 5
    names = [found["name"] for found in first.json["repositories"] + second.json["repositories"]]
    assert names == ["consumer", "other", "more-0", "more-1", "more-2"]
    assert 'rel="next"' in first.headers["link"]
    assert 'rel="prev"' in second.headers["link"]


async def test_a_workflow_token_reaches_its_own_repository_only(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_workflow_token("beta/consumer").value
    listed = (await caller.call("GET", "/installation/repositories", credential=token)).json
    assert [found["full_name"] for found in listed["repositories"]] == ["beta/consumer"]
    assert (await caller.call("GET", "/repos/beta/other", credential=token)).status == 404


async def test_workflows_are_listed(caller: Any) -> None:
    answer = await caller.call("GET", "/repos/acme/provider/actions/workflows", credential=await caller.token(71))
    assert [(found["path"], found["name"]) for found in answer.json["workflows"]] == [(CI, "CI")]


@pytest.mark.parametrize("path", ["/actions/workflows", "/actions/runs", "/actions/runs/5"])
async def test_actions_need_the_permission(caller: Any, path: str) -> None:
    token = await caller.token(71, permissions={"contents": "write"})
    assert (await caller.call("GET", "/repos/acme/provider" + path, credential=token)).status == 403
    assert (await caller.call("GET", "/repos/acme/provider" + path)).status == 401
    foreign = await caller.token(72)
    assert (await caller.call("GET", "/repos/acme/provider" + path, credential=foreign)).status == 404


async def test_a_run_and_its_attempts_can_be_read(sandbox: GitHubSandbox, caller: Any) -> None:
    run, _ = await sandbox.run_workflow("acme/provider", CI, conclusion="failure")
    await sandbox.rerun(run.id)
    token = await caller.token(71)
    latest = (await caller.call("GET", f"{RUNS}/{run.id}", credential=token)).json
    first = (await caller.call("GET", f"{RUNS}/{run.id}/attempts/1", credential=token)).json
    assert (latest["run_attempt"], latest["status"], latest["conclusion"]) == (2, "in_progress", None)
    assert (first["run_attempt"], first["status"], first["conclusion"]) == (1, "completed", "failure")
    assert (await caller.call("GET", f"{RUNS}/{run.id}/attempts/3", credential=token)).status == 404
    assert (await caller.call("GET", f"{RUNS}/5", credential=token)).status == 404


async def test_a_run_can_be_started_again_with_the_permission(sandbox: GitHubSandbox, caller: Any) -> None:
    run, _ = await sandbox.run_workflow("acme/provider", CI)
    assert (await caller.call("POST", f"{RUNS}/{run.id}/rerun", credential=await caller.token(71))).status == 403
    sandbox.update_installation(71, permissions={"actions": "write"})
    token = await caller.token(71)
    assert (await caller.call("POST", f"{RUNS}/{run.id}/rerun", credential=token)).status == 201
    assert (await caller.call("GET", f"{RUNS}/{run.id}", credential=token)).json["run_attempt"] == 2
    assert (await caller.call("POST", f"{RUNS}/{run.id}/rerun", credential=token)).status == 403


async def test_runs_are_listed_newest_first_and_filtered(sandbox: GitHubSandbox, caller: Any) -> None:
    older, _ = await sandbox.run_workflow("acme/provider", CI, event="push")
    sandbox.advance_clock(86_400)
    newer, _ = await sandbox.run_workflow("acme/provider", CI, event="schedule")
    token = await caller.token(71)

    async def ids(query: str) -> list[int]:
        answer = await caller.call("GET", f"{RUNS}?{query}", credential=token)
        return [run["id"] for run in answer.json["workflow_runs"]]

    created = (await caller.call("GET", f"{RUNS}/{newer.id}", credential=token)).json["created_at"]
    assert await ids("") == [newer.id, older.id]
    assert await ids("event=push") == [older.id]
    assert await ids(f"created=%3E%3D{created}") == [newer.id]
    assert await ids(f"created=%3C{created}") == [older.id]
    assert await ids(f"created={created[:10]}") == [newer.id]
    assert await ids(f"created=*..{created}") == [newer.id, older.id]
    assert await ids("status=failure") == []
    assert await ids("per_page=1&page=2") == [older.id]


async def test_a_date_that_is_none_is_unprocessable(caller: Any) -> None:
    answer = await caller.call("GET", f"{RUNS}?created=yesterday", credential=await caller.token(71))
    assert answer.status == 422


async def test_an_unknown_route_is_not_found_as_github_says_it(caller: Any) -> None:
    for method, path in (("GET", "/no/such/route"), ("PUT", "/repos/beta/consumer/dispatches")):
        answer = await caller.call(method, path)
        assert (answer.status, answer.message, answer.json["status"]) == (404, "Not Found", "404")
