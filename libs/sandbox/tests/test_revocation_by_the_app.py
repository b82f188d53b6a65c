from typing import Any

import aiohttp
import pytest

from zekt_sandbox import GitHubSandbox


@pytest.fixture(autouse=True)
def people(sandbox: GitHubSandbox) -> None:
    sandbox.create_user("octocat")
    sandbox.create_user("hubot")


async def as_app(sandbox: GitHubSandbox, caller: Any, method: str, path: str, token: str | None, **client: str) -> Any:
    login, secret = client.get("login", sandbox.client_id), client.get("secret", sandbox.client_secret)
    headers = {"Authorization": aiohttp.encode_basic_auth(login, secret)}
    url = f"/applications/{client.get('of', sandbox.client_id)}/{path}"
    return await caller.call(method, url, body={} if token is None else {"access_token": token}, headers=headers)


async def works(caller: Any, token: str) -> bool:
    return bool((await caller.call("GET", "/user", credential=token)).status == 200)


async def test_a_token_can_be_checked(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    answer = await as_app(sandbox, caller, "POST", "token", token)
    assert (answer.status, answer.json["user"]["login"]) == (200, "octocat")


async def test_one_token_can_be_revoked_with_its_refresh_token(sandbox: GitHubSandbox, caller: Any) -> None:
    first, second = sandbox.mint_user_token("octocat"), sandbox.mint_user_token("octocat")
    assert (await as_app(sandbox, caller, "DELETE", "token", first.value)).status == 204
    assert (await works(caller, first.value), await works(caller, second.value)) == (False, True)
    client = f"client_id={sandbox.client_id}&client_secret={sandbox.client_secret}"
    path = f"/login/oauth/access_token?{client}&grant_type=refresh_token&refresh_token={first.refresh_value}"
    refused = await caller.call("POST", path, headers={"Accept": "application/json"})
    assert refused.json["error"] == "bad_refresh_token"


async def test_a_grant_is_revoked_with_all_tokens_of_the_person(sandbox: GitHubSandbox, caller: Any) -> None:
    tokens = [sandbox.mint_user_token(login).value for login in ("octocat", "octocat", "hubot")]
    assert (await as_app(sandbox, caller, "DELETE", "grant", tokens[0])).status == 204
    assert [await works(caller, token) for token in tokens] == [False, False, True]


async def test_a_token_that_does_not_work_is_not_found(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    assert (await as_app(sandbox, caller, "DELETE", "token", token)).status == 204
    assert (await as_app(sandbox, caller, "DELETE", "token", token)).status == 404
    assert (await as_app(sandbox, caller, "POST", "token", "ghu_unknown")).status == 404


async def test_a_missing_token_cannot_be_processed(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await as_app(sandbox, caller, "DELETE", "token", None)).status == 422


@pytest.mark.parametrize("client", [{"secret": "wrong"}, {"login": "other"}])
async def test_the_client_must_prove_itself(sandbox: GitHubSandbox, caller: Any, client: dict[str, str]) -> None:
    token = sandbox.mint_user_token("octocat").value
    answer = await as_app(sandbox, caller, "DELETE", "grant", token, **client)
    assert (answer.status, answer.message) == (401, "Bad credentials")
    assert await works(caller, token)


async def test_credentials_of_another_kind_are_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    path = f"/applications/{sandbox.client_id}/token"
    for credential in (None, token, sandbox.app_jwt()):
        answer = await caller.call("DELETE", path, credential=credential, body={"access_token": token})
        assert answer.status == 401


async def test_another_apps_tokens_are_out_of_reach(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    assert (await as_app(sandbox, caller, "DELETE", "token", token, of="Iv1.other")).status == 404


async def test_revocations_count_against_the_apps_limit(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    answer = await as_app(sandbox, caller, "POST", "token", token)
    assert answer.headers["x-ratelimit-limit"] == "5000"
