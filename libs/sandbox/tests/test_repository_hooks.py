import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from zekt_sandbox import GitHubSandbox, sign

CI = ".github/workflows/ci.yml"
HOOKS = "/repos/acme/provider/hooks"


@pytest.fixture(autouse=True)
def octocat(sandbox: GitHubSandbox) -> None:
    sandbox.create_user("octocat")
    sandbox.set_permission("acme/provider", "octocat", "admin")


class Admin:
    """A person who calls with a token of their own."""

    def __init__(self, caller: Any, token: str) -> None:
        self._caller = caller
        self._token = token

    async def call(self, method: str, path: str = HOOKS, body: Any = None) -> Any:
        return await self._caller.call(method, path, credential=self._token, body=body)

    async def place(self, url: str, **said: Any) -> Any:
        config = {"url": url, "content_type": "json", "secret": "of the hook"}
        return await self.call("POST", body={"events": ["workflow_run"], "config": config, **said})


@pytest.fixture
def admin(sandbox: GitHubSandbox, caller: Any) -> Admin:
    return Admin(caller, sandbox.mint_user_token("octocat").value)


async def test_a_hook_is_placed_and_pinged(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    placed = await admin.place(receiver.url)
    assert placed.status == 201
    assert placed.json["config"] == {
        "content_type": "json",
        "insecure_ssl": "0",
        "url": receiver.url,
        "secret": "********",
    }
    assert (placed.json["events"], placed.json["active"], placed.json["type"]) == (["workflow_run"], True, "Repository")
    await sandbox.settle()
    [(headers, body)] = receiver.requests
    assert headers["X-GitHub-Event"] == "ping"
    assert headers["X-Hub-Signature-256"] == sign("of the hook", body)
    assert json.loads(body)["hook_id"] == placed.json["id"]
    assert json.loads(body)["sender"]["login"] == "octocat"


async def test_a_placed_hook_hears_of_runs_signed_with_its_own_secret(
    sandbox: GitHubSandbox, admin: Admin, receiver: Any
) -> None:
    hook_id = (await admin.place(receiver.url)).json["id"]
    await sandbox.settle()
    _, deliveries = await sandbox.run_workflow("acme/provider", CI)
    assert [one.hook.target_type for one in deliveries] == ["integration", "repository"]
    headers, body = receiver.requests[-1]
    assert headers["X-GitHub-Hook-ID"] == str(hook_id)
    assert headers["X-Hub-Signature-256"] == sign("of the hook", body)


@pytest.mark.parametrize("said", [{"events": ["push"]}, {"active": False}])
async def test_a_hook_hears_only_what_it_asked_for(
    sandbox: GitHubSandbox, admin: Admin, receiver: Any, said: dict[str, Any]
) -> None:
    await admin.place(receiver.url, **said)
    _, deliveries = await sandbox.run_workflow("acme/provider", CI)
    assert [one.hook.target_type for one in deliveries] == ["integration"]


async def test_a_form_hook_is_signed_over_the_form(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    await admin.place(receiver.url, config={"url": receiver.url, "secret": "s"})
    await sandbox.settle()
    [(headers, body)] = receiver.requests
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["X-Hub-Signature-256"] == sign("s", body)
    assert "zen" in json.loads(parse_qs(body.decode())["payload"][0])
    assert sandbox.deliveries()[0].payload()["zen"]


async def test_a_hook_without_a_secret_is_not_signed(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    placed = await admin.place(receiver.url, config={"url": receiver.url, "content_type": "json"})
    assert "secret" not in placed.json["config"]
    await sandbox.settle()
    assert "X-Hub-Signature-256" not in receiver.requests[0][0]


async def test_a_hook_is_changed_in_part_and_its_configuration_as_a_whole(admin: Admin, receiver: Any) -> None:
    path = f"{HOOKS}/{(await admin.place(receiver.url)).json['id']}"
    changed = await admin.call("PATCH", path, {"add_events": ["push", "push"], "active": False})
    assert (changed.json["events"], changed.json["active"]) == (["workflow_run", "push"], False)
    assert changed.json["config"]["secret"] == "********"
    changed = await admin.call("PATCH", path, {"remove_events": ["push"], "config": {"url": receiver.url}})
    assert changed.json["events"] == ["workflow_run"]
    assert "secret" not in changed.json["config"]
    assert (await admin.call("GET", path)).json == changed.json


async def test_hooks_are_listed_and_removed(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    hook_id = (await admin.place(receiver.url)).json["id"]
    assert [one["id"] for one in (await admin.call("GET")).json] == [hook_id]
    assert (await admin.call("DELETE", f"{HOOKS}/{hook_id}")).status == 204
    assert (await admin.call("GET")).json == []
    for method in ("GET", "PATCH", "DELETE"):
        assert (await admin.call(method, f"{HOOKS}/{hook_id}", {})).status == 404
    _, deliveries = await sandbox.run_workflow("acme/provider", CI)
    assert [one.hook.target_type for one in deliveries] == ["integration"]


async def test_two_hooks_of_one_configuration_may_not_hear_of_the_same(admin: Admin, receiver: Any) -> None:
    first = await admin.place(receiver.url, events=["workflow_run", "push"])
    second = await admin.place(receiver.url, events=["push"])
    assert second.status == 422
    assert second.json["errors"][0]["message"] == "Hook already exists on this repository"
    assert (await admin.place(receiver.url, events=["release"])).status == 201
    same = await admin.call("PATCH", f"{HOOKS}/{first.json['id']}", {"events": ["release"]})
    assert same.status == 422


@pytest.mark.parametrize(
    "said",
    [
        {"config": None},
        {"config": {}},
        {"config": {"url": "no-scheme"}},
        {"config": {"url": "http://127.0.0.1:1/", "content_type": "xml"}},
        {"config": {"url": "http://127.0.0.1:1/", "secret": 1}},
        {"events": "push"},
        {"active": "yes"},
        {"name": "email"},
    ],
)
async def test_a_hook_that_makes_no_sense_is_refused(admin: Admin, said: dict[str, Any]) -> None:
    assert (await admin.place("http://127.0.0.1:1/", **said)).status == 422
    assert (await admin.call("GET")).json == []


async def test_a_body_that_is_no_object_is_refused(sandbox: GitHubSandbox, admin: Admin, caller: Any) -> None:
    assert (await admin.call("POST", body=[])).status == 400
    token = sandbox.mint_user_token("octocat").value
    assert (await caller.call("POST", HOOKS, credential=token, raw=b"{")).status == 400


@pytest.mark.parametrize("permission", ["none", "read", "write"])
async def test_who_is_no_admin_is_told_of_nothing(sandbox: GitHubSandbox, admin: Admin, permission: str) -> None:
    sandbox.set_permission("acme/provider", "octocat", permission)
    for method in ("GET", "POST"):
        assert (await admin.call(method)).status == 404


async def test_an_app_without_the_permission_cannot(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    sandbox.update_installation(71, permissions={"contents": "write", "repository_hooks": "read"})
    refused = await admin.place(receiver.url)
    assert (refused.status, refused.message) == (403, "Resource not accessible by integration")
    assert (await admin.call("GET")).status == 200


async def test_an_archived_repository_takes_no_hook(sandbox: GitHubSandbox, admin: Admin, receiver: Any) -> None:
    sandbox.update_repository("acme/provider", archived=True)
    assert (await admin.place(receiver.url)).status == 403
    assert (await admin.call("GET")).status == 200


async def test_an_installation_places_hooks_as_the_app(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    body = {"config": {"url": receiver.url, "content_type": "json"}}
    placed = await caller.call("POST", HOOKS, credential=await caller.token(71), body=body)
    assert (placed.status, placed.json["events"]) == (201, ["push"])
    await sandbox.settle()
    assert json.loads(receiver.requests[0][1])["sender"]["login"] == "zekt[bot]"


async def test_nobody_places_no_hook(caller: Any) -> None:
    assert (await caller.call("POST", HOOKS, body={})).status == 401
