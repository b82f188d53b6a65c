import json
from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox, sign
from zekt_sandbox.github.errors import InvalidControlError

CI = ".github/workflows/ci.yml"


def told(receiver: Any) -> list[tuple[str, Any]]:
    """What arrived, as event and payload, oldest first."""
    return [(headers["X-GitHub-Event"], json.loads(body)) for headers, body in receiver.requests]


def actions(receiver: Any) -> list[tuple[str, str]]:
    return [(event, payload["action"]) for event, payload in told(receiver)]


async def test_a_suspension_is_told_signed_and_logged(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    [delivery] = await sandbox.suspend_installation(72, by="monalisa")
    [(headers, body)] = receiver.requests
    assert headers["X-Hub-Signature-256"] == sign(sandbox.webhook_secret, body)
    assert headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    payload = json.loads(body)
    installation = payload["installation"]
    assert (payload["action"], installation["id"], payload["sender"]["login"]) == ("suspend", 72, "monalisa")
    assert (installation["account"]["login"], installation["account"]["type"]) == ("beta", "Organization")
    assert (installation["repository_selection"], installation["permissions"]["contents"]) == ("all", "write")
    assert installation["suspended_at"] is not None
    assert installation["suspended_by"]["login"] == "monalisa"
    [logged] = (await caller.app("GET", "/app/hook/deliveries")).json
    assert (logged["guid"], logged["event"], logged["installation_id"]) == (delivery.guid, "installation", 72)


async def test_a_resumption_is_told(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    await sandbox.suspend_installation(72)
    await sandbox.unsuspend_installation(72)
    assert actions(receiver) == [("installation", "suspend"), ("installation", "unsuspend")]
    assert told(receiver)[1][1]["installation"]["suspended_at"] is None
    assert told(receiver)[1][1]["installation"]["suspended_by"] is None
    await caller.token(72)


async def test_an_installation_is_told_when_asked_and_when_removed(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    sandbox.create_repository("gamma/one")
    body = {"account": "gamma", "send": True}
    made = await caller.call("POST", "/_sandbox/installations", body=body)
    await sandbox.uninstall(made.json["id"])
    assert actions(receiver) == [("installation", "created"), ("installation", "deleted")]
    for _, payload in told(receiver):
        assert [one["full_name"] for one in payload["repositories"]] == ["gamma/one"]
    assert (await caller.app("GET", f"/app/installations/{made.json['id']}")).status == 404


async def test_an_installation_made_quietly_is_told_nobody(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.create_organization("gamma")
    sandbox.create_installation("gamma", id=73)
    sandbox.update_installation(73, suspended=True)
    assert receiver.requests == []
    await sandbox.announce_installation(73)
    assert actions(receiver) == [("installation", "created")]


async def test_a_selection_tells_what_was_added_and_what_removed(sandbox: GitHubSandbox, receiver: Any) -> None:
    await sandbox.select_repositories(72, ["beta/other"])
    await sandbox.select_repositories(72, ["beta/consumer"])
    await sandbox.select_repositories(72, None)
    await sandbox.select_repositories(72, None)
    changes = [
        (
            payload["action"],
            payload["repository_selection"],
            [one["name"] for one in payload["repositories_added"]],
            [one["name"] for one in payload["repositories_removed"]],
        )
        for event, payload in told(receiver)
        if event == "installation_repositories"
    ]
    assert changes == [
        ("removed", "selected", [], ["consumer"]),
        ("added", "selected", ["consumer"], []),
        ("removed", "selected", [], ["other"]),
        ("added", "all", ["other"], []),
    ]


async def test_a_renamed_repository_keeps_its_id_and_says_its_former_name(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    number = sandbox.create_repository("beta/third").id
    await sandbox.rename_repository("beta/third", "fourth")
    [(event, payload)] = told(receiver)
    assert (event, payload["action"], payload["installation"]["id"]) == ("repository", "renamed", 72)
    assert payload["changes"] == {"repository": {"name": {"from": "third"}}}
    assert (payload["repository"]["id"], payload["repository"]["full_name"]) == (number, "beta/fourth")
    assert payload["organization"]["login"] == "beta"
    assert (await caller.call("GET", "/repos/beta/fourth", credential=await caller.token(72))).status == 200


async def test_a_name_that_is_taken_is_not_given_again(sandbox: GitHubSandbox, receiver: Any) -> None:
    with pytest.raises(InvalidControlError):
        await sandbox.rename_repository("beta/consumer", "OTHER")
    await sandbox.rename_repository("beta/consumer", "CONSUMER")
    assert actions(receiver) == [("repository", "renamed")]


async def test_archiving_and_its_reverse_are_told(sandbox: GitHubSandbox, receiver: Any) -> None:
    await sandbox.archive_repository("beta/consumer")
    await sandbox.unarchive_repository("beta/consumer")
    assert actions(receiver) == [("repository", "archived"), ("repository", "unarchived")]
    assert [payload["repository"]["archived"] for _, payload in told(receiver)] == [True, False]


async def test_a_transfer_is_told_to_both_accounts(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    await sandbox.transfer_repository("beta/consumer", "acme")
    (first, transferred), (second, removed), (third, added) = told(receiver)
    assert (first, transferred["action"], transferred["installation"]["id"]) == ("repository", "transferred", 71)
    assert transferred["changes"]["owner"]["from"]["organization"]["login"] == "beta"
    assert transferred["repository"]["owner"]["login"] == "acme"
    assert {second, third} == {"installation_repositories"}
    assert (removed["action"], removed["installation"]["id"]) == ("removed", 72)
    assert (added["action"], added["installation"]["id"]) == ("added", 71)
    assert (await caller.dispatch("acme/consumer", await caller.token(71))).status == 204
    assert (await caller.dispatch("acme/consumer", await caller.token(72))).status == 404


async def test_a_selected_repository_that_is_transferred_leaves_the_selection(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    sandbox.update_installation(72, repositories=["beta/consumer", "beta/other"])
    sandbox.create_user("monalisa")
    await sandbox.transfer_repository("beta/consumer", "monalisa")
    [(event, payload)] = told(receiver)
    assert (event, payload["action"]) == ("installation_repositories", "removed")
    assert (await caller.dispatch("monalisa/consumer", await caller.token(72))).status == 404


async def test_a_deleted_repository_is_gone_everywhere(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    number = sandbox.create_repository("beta/third").id
    sandbox.create_repository_hook("beta/third", url=receiver.url, secret="s")
    token = await caller.token(72)
    await sandbox.delete_repository("beta/third")
    assert actions(receiver) == [
        ("repository", "deleted"),
        ("repository", "deleted"),
        ("installation_repositories", "removed"),
    ]
    for path in ("/repos/beta/third", f"/repositories/{number}", "/repos/beta/third/actions/workflows"):
        assert (await caller.call("GET", path, credential=token)).status == 404
    listed = (await caller.call("GET", "/installation/repositories", credential=token)).json
    assert "third" not in [one["name"] for one in listed["repositories"]]


async def test_a_revoked_authorization_ends_all_tokens_of_the_person(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    person = sandbox.create_user("monalisa")
    tokens = [sandbox.mint_user_token("monalisa").value for _ in range(2)]
    await sandbox.revoke_authorization("monalisa")
    [(event, payload)] = told(receiver)
    assert (event, payload["action"], payload["sender"]["id"]) == ("github_app_authorization", "revoked", person.id)
    assert "installation" not in payload
    for token in tokens:
        answer = await caller.call("GET", "/user", credential=token)
        assert (answer.status, answer.message) == (401, "Bad credentials")


async def test_a_renamed_account_is_told_where_the_app_is_installed(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.create_user("monalisa")
    await sandbox.rename_account("monalisa", "mona")
    await sandbox.rename_account("beta", "beta-corp")
    [(event, payload)] = told(receiver)
    assert (event, payload["action"], payload["installation"]["id"]) == ("installation_target", "renamed", 72)
    assert payload["changes"] == {"login": {"from": "beta"}}
    assert payload["account"]["login"] == "beta-corp"


async def test_a_suspended_installation_hears_of_no_repository(sandbox: GitHubSandbox, receiver: Any) -> None:
    sandbox.update_installation(72, suspended=True)
    await sandbox.archive_repository("beta/consumer")
    assert receiver.requests == []


async def test_a_hook_that_was_down_misses_nothing_that_is_redelivered(
    sandbox: GitHubSandbox, caller: Any, receiver: Any
) -> None:
    receiver.status = 503
    await sandbox.suspend_installation(72)
    receiver.status = 202
    [missed] = (await caller.app("GET", "/app/hook/deliveries")).json
    assert missed["status_code"] == 503
    assert (await caller.app("POST", f"/app/hook/deliveries/{missed['id']}/attempts")).status == 202
    await sandbox.settle()
    (first, _), (second, _) = receiver.requests
    assert first["X-GitHub-Delivery"] == second["X-GitHub-Delivery"]


async def test_a_muted_stand_in_changes_and_tells_nobody(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    sandbox.mute_webhooks()
    assert await sandbox.suspend_installation(72) == []
    await sandbox.rename_repository("beta/consumer", "renamed")
    await sandbox.run_workflow("acme/provider", CI)
    assert (await caller.app("GET", "/app/hook/deliveries")).json == []
    assert (await caller.app("GET", "/app/installations/72")).json["suspended_at"] is not None
    sandbox.mute_webhooks(muted=False)
    await sandbox.unsuspend_installation(72)
    assert actions(receiver) == [("installation", "unsuspend")]


async def test_every_change_can_be_made_over_http(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    sandbox.create_user("monalisa")
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/installations/72/suspend", {"by": "monalisa"}),
        ("POST", "/installations/72/unsuspend", None),
        ("PUT", "/installations/72/repositories", {"repositories": ["beta/consumer"]}),
        ("POST", "/repositories/beta/consumer/rename", {"name": "renamed"}),
        ("POST", "/repositories/beta/renamed/archive", None),
        ("POST", "/repositories/beta/renamed/unarchive", None),
        ("POST", "/repositories/beta/renamed/transfer", {"owner": "acme"}),
        ("DELETE", "/repositories/acme/renamed", None),
        ("POST", "/accounts/beta/rename", {"login": "beta-corp"}),
        ("POST", "/users/monalisa/revoke_authorization", None),
        ("POST", "/installations/72/uninstall", None),
    ]
    for method, path, body in calls:
        answer = await caller.call(method, "/_sandbox" + path, body=body)
        assert answer.status == 200, answer.text
        assert answer.json["deliveries"], path
    assert len(receiver.requests) >= len(calls)


async def test_webhooks_can_be_muted_over_http(sandbox: GitHubSandbox, caller: Any, receiver: Any) -> None:
    assert (await caller.call("PUT", "/_sandbox/webhooks", body={"send": "no"})).status == 400
    assert (await caller.call("PUT", "/_sandbox/webhooks", body={"send": False})).status == 200
    muted = await caller.call("POST", "/_sandbox/installations/72/suspend")
    assert (muted.json, receiver.requests) == ({"deliveries": []}, [])
    sandbox.reset()
    sandbox.create_organization("gamma")
    installation = sandbox.create_installation("gamma")
    assert len(await sandbox.announce_installation(installation.id)) == 1
