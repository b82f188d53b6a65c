from typing import Any
from urllib.parse import urlencode

import pytest

from zekt_sandbox import GitHubSandbox

MONTHS_6_S = 15_897_600


@pytest.fixture(autouse=True)
def octocat(sandbox: GitHubSandbox) -> None:
    sandbox.create_user("octocat")


async def refresh(sandbox: GitHubSandbox, caller: Any, refresh_token: str, **asked: str | None) -> dict[str, Any]:
    grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    sent = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, **grant, **asked}
    query = urlencode({name: value for name, value in sent.items() if value is not None})
    headers = {"Accept": "application/json"}
    answer = await caller.call("POST", f"/login/oauth/access_token?{query}", headers=headers)
    assert answer.status == 200
    return dict(answer.json)


async def who(caller: Any, token: str) -> Any:
    return await caller.call("GET", "/user", credential=token)


async def test_a_token_lives_for_eight_hours(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat")
    assert (await who(caller, token.value)).status == 200
    sandbox.advance_clock(28_800)
    answer = await who(caller, token.value)
    assert (answer.status, answer.message) == (401, "Bad credentials")


async def test_how_long_tokens_live_that_are_given_from_now_on_can_be_set(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await caller.call("PUT", "/_sandbox/user_token_life", body={"life_s": 60})).status == 204
    short = sandbox.mint_user_token("octocat")
    assert (await caller.call("PUT", "/_sandbox/user_token_life", body={})).status == 204
    renewed = await refresh(sandbox, caller, short.refresh_value)
    assert (short.life_s, renewed["expires_in"]) == (60, 28_800)
    assert (await caller.call("PUT", "/_sandbox/user_token_life", body={"life_s": "60"})).status == 400


async def test_a_refresh_ends_both_halves_of_the_old_pair(sandbox: GitHubSandbox, caller: Any) -> None:
    old = sandbox.mint_user_token("octocat")
    new = await refresh(sandbox, caller, old.refresh_value)
    assert (await who(caller, old.value)).status == 401
    assert (await who(caller, new["access_token"])).status == 200
    assert new["refresh_token"] != old.refresh_value
    assert (await refresh(sandbox, caller, old.refresh_value))["error"] == "bad_refresh_token"
    assert "access_token" in await refresh(sandbox, caller, new["refresh_token"])


async def test_an_expired_token_can_be_refreshed_for_six_months(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat")
    sandbox.advance_clock(MONTHS_6_S - 1)
    renewed = await refresh(sandbox, caller, token.refresh_value)
    sandbox.advance_clock(MONTHS_6_S)
    refused = await refresh(sandbox, caller, renewed["refresh_token"])
    assert refused["error"] == "bad_refresh_token"
    assert refused["error_description"] == "The refresh token passed is incorrect or expired."


async def test_a_refresh_needs_the_client_secret_and_a_refused_one_uses_nothing_up(
    sandbox: GitHubSandbox, caller: Any
) -> None:
    token = sandbox.mint_user_token("octocat")
    for secret in (None, "wrong"):
        refused = await refresh(sandbox, caller, token.refresh_value, client_secret=secret)
        assert refused["error"] == "incorrect_client_credentials"
    assert "access_token" in await refresh(sandbox, caller, token.refresh_value)


async def test_an_installations_token_is_nobodys(caller: Any) -> None:
    answer = await who(caller, await caller.token(72))
    assert (answer.status, answer.message) == (403, "Resource not accessible by integration")


async def test_a_persons_token_is_no_installations(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    assert (await caller.call("GET", "/installation/repositories", credential=token)).status == 403
    assert (await caller.call("GET", "/app", credential=token)).status == 401


async def test_a_person_has_a_rate_limit_of_their_own(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(primary_per_hour=2)
    tokens = [sandbox.mint_user_token("octocat").value for _ in range(3)]
    answers = [await who(caller, token) for token in tokens]
    assert [answer.status for answer in answers] == [200, 200, 403]
    assert answers[2].message.startswith("API rate limit exceeded for user ID ")
    assert answers[2].headers["x-ratelimit-remaining"] == "0"


async def test_tokens_do_not_show_in_a_representation(sandbox: GitHubSandbox) -> None:
    token = sandbox.mint_user_token("octocat")
    assert token.value not in repr(token)
    assert token.refresh_value not in repr(token)


async def test_a_reset_forgets_tokens(sandbox: GitHubSandbox, caller: Any) -> None:
    token = sandbox.mint_user_token("octocat").value
    sandbox.reset()
    assert (await who(caller, token)).status == 401
