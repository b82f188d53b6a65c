import time
from typing import Any

import jwt
import pytest

from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.state import generate_private_key

UNDECODABLE = "A JSON web token could not be decoded"


async def test_the_app_is_recognised_by_its_jwt(sandbox: GitHubSandbox, caller: Any) -> None:
    answer = await caller.app("GET", "/app")
    assert (answer.status, answer.json["id"], answer.json["installations_count"]) == (200, sandbox.app_id, 2)


async def test_the_client_id_is_an_issuer_too(sandbox: GitHubSandbox, caller: Any) -> None:
    client_id = (await caller.app("GET", "/app")).json["client_id"]
    assert (await caller.call("GET", "/app", credential=sandbox.app_jwt(iss=client_id))).status == 200


async def test_no_jwt_is_refused(caller: Any) -> None:
    answer = await caller.call("GET", "/app")
    assert (answer.status, answer.message) == (401, UNDECODABLE)


async def test_a_jwt_of_another_key_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    now = int(time.time())
    claims = {"iss": str(sandbox.app_id), "iat": now, "exp": now + 60}
    forged = jwt.encode(claims, generate_private_key(), algorithm="RS256")
    answer = await caller.call("GET", "/app", credential=forged)
    assert (answer.status, answer.message) == (401, UNDECODABLE)


async def test_a_jwt_of_another_algorithm_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    now = int(time.time())
    claims = {"iss": str(sandbox.app_id), "iat": now, "exp": now + 60}
    for forged in (jwt.encode(claims, "s" * 32, algorithm="HS256"), jwt.encode(claims, "", algorithm="none")):
        assert (await caller.call("GET", "/app", credential=forged)).status == 401


async def test_another_apps_jwt_is_not_found(sandbox: GitHubSandbox, caller: Any) -> None:
    answer = await caller.call("GET", "/app", credential=sandbox.app_jwt(iss="1"))
    assert (answer.status, answer.message) == (404, "Integration not found")


@pytest.mark.parametrize(
    ("claim", "offset_s", "reason"),
    [
        ("exp", 700, "too far in the future"),
        ("exp", -1, "must be a numeric value"),
        ("iat", 120, "'Issued at' claim"),
    ],
)
async def test_a_jwt_with_a_wrong_time_says_which(
    sandbox: GitHubSandbox, caller: Any, claim: str, offset_s: int, reason: str
) -> None:
    answer = await caller.call("GET", "/app", credential=sandbox.app_jwt(**{claim: int(time.time()) + offset_s}))
    assert answer.status == 401
    assert reason in answer.message


async def test_a_token_is_no_jwt(caller: Any) -> None:
    assert (await caller.call("GET", "/app", credential=await caller.token(71))).status == 401


async def test_a_token_is_long_lives_an_hour_and_says_what_it_reaches(caller: Any) -> None:
    scope = {"repositories": ["consumer"], "permissions": {"contents": "write"}}
    answer = await caller.app("POST", "/app/installations/72/access_tokens", scope)
    assert answer.status == 201
    assert answer.json["token"].startswith("ghs_")
    assert len(answer.json["token"]) == 520
    assert answer.json["permissions"] == {"contents": "write", "metadata": "read"}
    assert answer.json["repository_selection"] == "selected"
    assert [found["full_name"] for found in answer.json["repositories"]] == ["beta/consumer"]


async def test_a_token_can_be_scoped_by_repository_id(sandbox: GitHubSandbox, caller: Any) -> None:
    repository = sandbox.create_repository("beta/third", id=4_000_000_001)
    token = await caller.token(72, repository_ids=[repository.id])
    assert (await caller.dispatch("beta/third", token)).status == 204
    assert (await caller.dispatch("beta/consumer", token)).status == 404


async def test_an_unscoped_token_reaches_all_that_the_installation_does(caller: Any) -> None:
    answer = await caller.app("POST", "/app/installations/72/access_tokens")
    assert answer.json["repository_selection"] == "all"
    assert "repositories" not in answer.json


@pytest.mark.parametrize("scope", [{"repositories": ["provider"]}, {"repository_ids": [1]}, {"repositories": "x"}])
async def test_a_scope_outside_the_installation_is_refused(caller: Any, scope: dict[str, Any]) -> None:
    assert (await caller.app("POST", "/app/installations/72/access_tokens", scope)).status == 422


@pytest.mark.parametrize("permissions", [{"issues": "read"}, {"actions": "write"}, {"contents": "everything"}, []])
async def test_permissions_beyond_the_installations_are_refused(caller: Any, permissions: Any) -> None:
    answer = await caller.app("POST", "/app/installations/72/access_tokens", {"permissions": permissions})
    assert answer.status == 422
    assert answer.message == "The permissions requested are not granted to this installation."


async def test_a_token_request_that_is_no_json_is_a_bad_request(sandbox: GitHubSandbox, caller: Any) -> None:
    path = "/app/installations/72/access_tokens"
    assert (await caller.call("POST", path, credential=sandbox.app_jwt(), raw=b"{")).status == 400


async def test_an_unknown_installation_is_not_found(caller: Any) -> None:
    assert (await caller.app("POST", "/app/installations/99/access_tokens")).status == 404


async def test_a_suspended_installation_gives_no_token(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.update_installation(72, suspended=True)
    answer = await caller.app("POST", "/app/installations/72/access_tokens")
    assert (answer.status, answer.message) == (403, "This installation has been suspended")
    assert (await caller.app("GET", "/app/installations/72")).json["suspended_at"] is not None


async def test_a_deleted_installation_is_gone_with_its_tokens(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    sandbox.delete_installation(72)
    assert (await caller.dispatch("beta/consumer", token)).status == 401
    assert (await caller.app("GET", "/app/installations/72")).status == 404


async def test_a_token_can_revoke_itself(caller: Any) -> None:
    token = await caller.token(72)
    assert (await caller.call("DELETE", "/installation/token", credential=token)).status == 204
    assert (await caller.call("GET", "/installation/repositories", credential=token)).status == 401


async def test_installations_are_found_by_repository_and_by_account(caller: Any) -> None:
    for path in ("/repos/beta/consumer/installation", "/orgs/BETA/installation", "/users/beta/installation"):
        assert (await caller.app("GET", path)).json["id"] == 72
    for path in ("/repos/beta/nowhere/installation", "/orgs/gamma/installation"):
        assert (await caller.app("GET", path)).status == 404


async def test_a_repository_outside_the_selection_has_no_installation(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.update_installation(72, repositories=["beta/consumer"])
    assert (await caller.app("GET", "/repos/beta/other/installation")).status == 404
    answer = await caller.app("POST", "/app/installations/72/access_tokens")
    assert [found["name"] for found in answer.json["repositories"]] == ["consumer"]


async def test_installations_are_listed_page_by_page(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_organization("gamma")
    sandbox.create_installation("gamma", id=73)
    first = await caller.app("GET", "/app/installations?per_page=2")
    assert [found["id"] for found in first.json] == [71, 72]
    assert 'rel="next"' in first.headers["link"]
    following = first.headers["link"].partition("<")[2].partition(">")[0]
    second = await caller.call("GET", following, credential=sandbox.app_jwt())
    assert [found["id"] for found in second.json] == [73]
    assert 'rel="next"' not in second.headers["link"]
