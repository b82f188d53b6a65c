from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.errors import InvalidControlError, UnknownNameError

CI = ".github/workflows/ci.yml"


@pytest.fixture(autouse=True)
def octocat(sandbox: GitHubSandbox) -> None:
    sandbox.create_user("octocat", id=4_242)


async def ask(sandbox: GitHubSandbox, caller: Any, path: str, login: str = "octocat") -> Any:
    return await caller.call("GET", path, credential=sandbox.mint_user_token(login).value)


async def installations(sandbox: GitHubSandbox, caller: Any) -> list[int]:
    listed = (await ask(sandbox, caller, "/user/installations")).json
    assert listed["total_count"] == len(listed["installations"])
    return [one["id"] for one in listed["installations"]]


async def repositories(sandbox: GitHubSandbox, caller: Any, installation_id: int) -> dict[str, Any]:
    listed = (await ask(sandbox, caller, f"/user/installations/{installation_id}/repositories")).json
    return {one["full_name"]: one["permissions"] for one in listed["repositories"]}


async def test_a_stranger_sees_no_installation_and_no_private_repository(sandbox: GitHubSandbox, caller: Any) -> None:
    assert await installations(sandbox, caller) == []
    for path in (
        "/user/installations/72/repositories",
        "/repos/beta/consumer",
        "/repos/beta/consumer/actions/workflows",
    ):
        assert (await ask(sandbox, caller, path)).status == 404


@pytest.mark.parametrize(
    ("permission", "push", "admin"), [("read", False, False), ("write", True, False), ("admin", True, True)]
)
async def test_a_collaborator_reaches_just_that_repository(
    sandbox: GitHubSandbox, caller: Any, permission: str, *, push: bool, admin: bool
) -> None:
    sandbox.set_permission("beta/consumer", "octocat", permission)
    assert await installations(sandbox, caller) == [72]
    shared = await repositories(sandbox, caller, 72)
    assert list(shared) == ["beta/consumer"]
    spelt_out = {"admin": admin, "maintain": admin, "push": push, "triage": push, "pull": True}
    assert shared["beta/consumer"] == spelt_out
    assert (await ask(sandbox, caller, "/repos/beta/consumer")).json["permissions"] == spelt_out
    assert (await ask(sandbox, caller, "/repos/beta/other")).status == 404


async def test_a_permission_can_be_taken_away(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    sandbox.set_permission("beta/consumer", "octocat", "none")
    assert (await ask(sandbox, caller, "/repos/beta/consumer")).status == 404


@pytest.mark.parametrize(("membership", "admin"), [("member", False), ("admin", True)])
async def test_a_member_reads_and_an_admin_of_the_organisation_administers(
    sandbox: GitHubSandbox, caller: Any, membership: str, *, admin: bool
) -> None:
    sandbox.set_membership("beta", "octocat", membership)
    shared = await repositories(sandbox, caller, 72)
    assert sorted(shared) == ["beta/consumer", "beta/other"]
    assert {one["admin"] for one in shared.values()} == {admin}
    sandbox.set_membership("beta", "octocat", "none")
    assert await installations(sandbox, caller) == []


async def test_a_person_administers_their_own_repositories(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_repository("octocat/notes")
    sandbox.create_installation("octocat", id=74)
    assert await installations(sandbox, caller) == [74]
    assert (await repositories(sandbox, caller, 74))["octocat/notes"]["admin"]


async def test_a_persons_token_reaches_only_where_the_app_is_installed(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_repository("gamma/private")
    sandbox.set_permission("gamma/private", "octocat", "admin")
    assert (await ask(sandbox, caller, "/repos/gamma/private")).status == 404
    sandbox.create_repository("gamma/public", private=False)
    assert (await ask(sandbox, caller, "/repos/gamma/public")).status == 200


async def test_a_suspended_installation_is_shown_and_reaches_nothing(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    sandbox.update_installation(72, suspended=True)
    [shown] = (await ask(sandbox, caller, "/user/installations")).json["installations"]
    assert shown["suspended_at"] is not None
    answer = await ask(sandbox, caller, "/user/installations/72/repositories")
    assert (answer.status, answer.message) == (403, "This installation has been suspended")
    assert (await ask(sandbox, caller, "/repos/beta/consumer")).status == 404


async def test_workflows_are_listed_to_who_may_read(sandbox: GitHubSandbox, caller: Any) -> None:
    path = "/repos/acme/provider/actions/workflows"
    sandbox.set_permission("acme/provider", "octocat", "read")
    assert [one["path"] for one in (await ask(sandbox, caller, path)).json["workflows"]] == [CI]
    sandbox.update_installation(71, permissions={"contents": "write"})
    assert (await ask(sandbox, caller, path)).status == 403


@pytest.mark.parametrize("permission", ["none", "read", "write", "admin"])
async def test_anyones_permission_can_be_asked_for(sandbox: GitHubSandbox, caller: Any, permission: str) -> None:
    sandbox.create_user("hubot")
    sandbox.set_permission("beta/consumer", "hubot", permission)
    sandbox.set_permission("beta/consumer", "octocat", "read")
    path = "/repos/beta/consumer/collaborators/hubot/permission"
    told = (await ask(sandbox, caller, path)).json
    assert (told["permission"], told["role_name"], told["user"]["login"]) == (permission, permission, "hubot")
    by_installation = await caller.call("GET", path, credential=await caller.token(72))
    assert by_installation.json["permission"] == permission


async def test_the_permission_of_nobody_or_in_a_hidden_repository_is_not_found(
    sandbox: GitHubSandbox, caller: Any
) -> None:
    sandbox.set_permission("beta/consumer", "octocat", "read")
    assert (await ask(sandbox, caller, "/repos/beta/consumer/collaborators/nobody/permission")).status == 404
    assert (await ask(sandbox, caller, "/repos/beta/other/collaborators/octocat/permission")).status == 404


async def test_a_reader_cannot_dispatch_and_a_writer_can(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    sandbox.set_permission("beta/consumer", "octocat", "read")
    assert (await caller.dispatch("beta/consumer", token)).status == 404
    sandbox.set_permission("beta/consumer", "octocat", "write")
    assert (await caller.dispatch("beta/consumer", token)).status == 204


async def test_an_account_is_found_by_its_id_whatever_it_is_called(sandbox: GitHubSandbox, caller: Any) -> None:
    await sandbox.rename_account("octocat", "monalisa")
    told = (await ask(sandbox, caller, "/user/4242", "monalisa")).json
    assert (told["id"], told["login"]) == (4_242, "monalisa")
    assert (await ask(sandbox, caller, "/user/1", "monalisa")).status == 404
    assert (await caller.call("GET", "/user/4242")).status == 401


async def test_a_renamed_account_keeps_its_token_and_its_repositories(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_repository("octocat/notes", private=False)
    token = sandbox.mint_user_token("octocat").value
    await sandbox.rename_account("octocat", "monalisa")
    assert (await caller.call("GET", "/user", credential=token)).json["login"] == "monalisa"
    assert (await caller.call("GET", "/repos/monalisa/notes", credential=token)).status == 200
    assert (await caller.call("GET", "/repos/octocat/notes", credential=token)).status == 404
    with pytest.raises(InvalidControlError):
        await sandbox.rename_account("monalisa", "ACME")


async def test_people_can_be_made_over_http(sandbox: GitHubSandbox, caller: Any) -> None:
    made = await caller.call("POST", "/_sandbox/users", body={"login": "hubot", "name": "Hubot", "id": 77})
    assert (made.status, made.json["id"]) == (201, 77)
    put = {"permission": "admin"}
    assert (await caller.call("PUT", "/_sandbox/repositories/beta/other/collaborators/hubot", body=put)).status == 204
    path = "/_sandbox/organizations/acme/members/hubot"
    assert (await caller.call("PUT", path, body={"membership": "member"})).status == 204
    assert (await caller.call("PUT", path, body={"membership": "owner"})).status == 400
    listed = (await ask(sandbox, caller, "/user/installations", "hubot")).json
    assert [one["id"] for one in listed["installations"]] == [71, 72]


async def test_an_organisation_is_no_person(sandbox: GitHubSandbox) -> None:
    with pytest.raises(InvalidControlError):
        sandbox.mint_user_token("acme")
    with pytest.raises(UnknownNameError):
        sandbox.mint_user_token("nobody")
    with pytest.raises(InvalidControlError):
        sandbox.set_permission("beta/consumer", "octocat", "owner")
