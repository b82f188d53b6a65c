from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.authorization_codes import challenge_of

CALLBACK = "http://127.0.0.1:8080/auth/callback"
OTHER_CALLBACK = "http://127.0.0.1:8080/other"
VERIFIER = "v" * 43


@pytest.fixture(autouse=True)
def people(sandbox: GitHubSandbox) -> None:
    sandbox.callback_urls = [CALLBACK, OTHER_CALLBACK]
    sandbox.create_user("octocat", id=4_242, name="Octo Cat", email="octo@example.org")
    sandbox.create_user("hubot", id=4_243)


def parameters(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def authorize(sandbox: GitHubSandbox, caller: Any, **asked: str) -> dict[str, str]:
    """The parameters that the browser comes back with."""
    query = {"client_id": sandbox.client_id, "state": "xyz", "login": "octocat", **asked}
    answer = await caller.call("GET", f"/login/oauth/authorize?{urlencode(query)}", redirects=False)
    assert answer.status == 302, answer.text
    assert answer.headers["location"].startswith(asked.get("expected", CALLBACK))
    return parameters(answer.headers["location"])


async def exchange(sandbox: GitHubSandbox, caller: Any, **asked: str | None) -> dict[str, Any]:
    """GitHub's answer to a token request; a parameter of None is left out."""
    sent = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, **asked}
    form = urlencode({name: value for name, value in sent.items() if value is not None})
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    answer = await caller.call("POST", "/login/oauth/access_token", raw=form.encode(), headers=headers)
    assert answer.status == 200
    return dict(answer.json)


async def test_a_code_becomes_a_token_that_says_who_it_is(sandbox: GitHubSandbox, caller: Any) -> None:
    back = await authorize(sandbox, caller, redirect_uri=CALLBACK)
    assert back["state"] == "xyz"
    token = await exchange(sandbox, caller, code=back["code"], redirect_uri=CALLBACK)
    assert token["access_token"].startswith("ghu_")
    assert token["refresh_token"].startswith("ghr_")
    assert (token["expires_in"], token["refresh_token_expires_in"]) == (28_800, 15_897_600)
    assert (token["token_type"], token["scope"]) == ("bearer", "")
    user = (await caller.call("GET", "/user", credential=token["access_token"])).json
    assert (user["id"], user["login"], user["type"]) == (4_242, "octocat", "User")
    assert (user["name"], user["email"]) == ("Octo Cat", "octo@example.org")


async def test_without_a_redirect_uri_the_first_callback_is_used(sandbox: GitHubSandbox, caller: Any) -> None:
    assert "code" in await authorize(sandbox, caller)


async def test_a_code_is_good_once(sandbox: GitHubSandbox, caller: Any) -> None:
    code = (await authorize(sandbox, caller))["code"]
    assert "access_token" in await exchange(sandbox, caller, code=code)
    refused = await exchange(sandbox, caller, code=code)
    assert refused["error"] == "bad_verification_code"
    assert refused["error_description"] == "The code passed is incorrect or expired."
    assert refused["error_uri"].endswith("#bad-verification-code")


async def test_a_code_is_good_for_ten_minutes(sandbox: GitHubSandbox, caller: Any) -> None:
    code = (await authorize(sandbox, caller))["code"]
    sandbox.advance_clock(600)
    assert (await exchange(sandbox, caller, code=code))["error"] == "bad_verification_code"


@pytest.mark.parametrize("verifier", [None, "w" * 43])
async def test_a_code_is_for_who_holds_the_verifier(sandbox: GitHubSandbox, caller: Any, verifier: str | None) -> None:
    challenge = challenge_of(VERIFIER) or ""
    pkce = {"code_challenge": challenge, "code_challenge_method": "S256"}
    code = (await authorize(sandbox, caller, **pkce))["code"]
    assert (await exchange(sandbox, caller, code=code, code_verifier=verifier))["error"] == "bad_verification_code"
    code = (await authorize(sandbox, caller, **pkce))["code"]
    assert "access_token" in await exchange(sandbox, caller, code=code, code_verifier=VERIFIER)


def test_a_challenge_is_the_one_of_rfc_7636() -> None:
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    "pkce",
    [
        {"code_challenge": "c" * 43},
        {"code_challenge": "c" * 43, "code_challenge_method": "plain"},
        {"code_challenge": "short", "code_challenge_method": "S256"},
        {"code_challenge_method": "S256"},
    ],
)
async def test_only_s256_challenges_are_taken(sandbox: GitHubSandbox, caller: Any, pkce: dict[str, str]) -> None:
    assert (await authorize(sandbox, caller, **pkce))["error"] == "invalid_request"


@pytest.mark.parametrize(
    "redirect_uri", [CALLBACK + "/", CALLBACK + "?next=/", "https://evil.test/auth/callback", "javascript:alert(1)"]
)
async def test_a_redirect_uri_that_is_not_registered_goes_to_the_one_that_is(
    sandbox: GitHubSandbox, caller: Any, redirect_uri: str
) -> None:
    back = await authorize(sandbox, caller, redirect_uri=redirect_uri)
    assert (back["error"], back["state"]) == ("redirect_uri_mismatch", "xyz")
    assert "code" not in back


async def test_a_code_is_for_the_redirect_uri_it_was_asked_with(sandbox: GitHubSandbox, caller: Any) -> None:
    code = (await authorize(sandbox, caller, redirect_uri=CALLBACK))["code"]
    assert (await exchange(sandbox, caller, code=code, redirect_uri=OTHER_CALLBACK))["error"] == "redirect_uri_mismatch"


@pytest.mark.parametrize(
    "client", [{"client_id": "Iv1.other"}, {"client_secret": "wrong"}, {"client_secret": None}, {"client_id": None}]
)
async def test_a_client_must_say_who_it_is_and_prove_it(
    sandbox: GitHubSandbox, caller: Any, client: dict[str, str | None]
) -> None:
    code = (await authorize(sandbox, caller))["code"]
    refused = await exchange(sandbox, caller, code=code, **client)
    assert refused["error"] == "incorrect_client_credentials"
    assert "access_token" in await exchange(sandbox, caller, code=code)


async def test_an_unknown_client_or_one_without_a_callback_is_not_found(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await caller.call("GET", "/login/oauth/authorize?client_id=other")).status == 404
    sandbox.callback_urls = []
    assert (await caller.call("GET", f"/login/oauth/authorize?client_id={sandbox.client_id}")).status == 404


async def test_an_unknown_grant_type_is_refused(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await exchange(sandbox, caller, grant_type="password"))["error"] == "unsupported_grant_type"


async def test_the_answer_is_a_form_unless_json_is_accepted(sandbox: GitHubSandbox, caller: Any) -> None:
    code = (await authorize(sandbox, caller))["code"]
    body = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, "code": code}
    json_headers = {"Content-Type": "application/json"}
    answer = await caller.call("POST", "/login/oauth/access_token", body=body, headers=json_headers)
    assert answer.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert parse_qs(answer.text)["access_token"][0].startswith("ghu_")


async def test_a_browser_that_is_nobodys_is_asked_who_it_is(sandbox: GitHubSandbox, caller: Any) -> None:
    query = urlencode({"client_id": sandbox.client_id, "state": '"><script>', "redirect_uri": CALLBACK})
    page = await caller.call("GET", f"/login/oauth/authorize?{query}")
    assert page.status == 200
    assert "<option>octocat</option>" in page.text
    assert "<option>acme</option>" not in page.text
    assert "<script>" not in page.text


async def decide(sandbox: GitHubSandbox, caller: Any, **form: str) -> Any:
    sent = urlencode({"client_id": sandbox.client_id, "state": "xyz", "redirect_uri": CALLBACK, **form})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await caller.call("POST", "/login/oauth/authorize", raw=sent.encode(), headers=headers, redirects=False)


async def test_a_person_who_authorises_stays_signed_in(sandbox: GitHubSandbox, caller: Any) -> None:
    answer = await decide(sandbox, caller, login="hubot", authorize="1")
    assert "code" in parameters(answer.headers["location"])
    cookie = answer.headers["set-cookie"].partition(";")[0]
    query = urlencode({"client_id": sandbox.client_id})
    again = await caller.call("GET", f"/login/oauth/authorize?{query}", headers={"Cookie": cookie}, redirects=False)
    token = await exchange(sandbox, caller, code=parameters(again.headers["location"])["code"])
    assert (await caller.call("GET", "/user", credential=token["access_token"])).json["login"] == "hubot"
    chosen = await caller.call(
        "GET", f"/login/oauth/authorize?{query}&prompt=select_account", headers={"Cookie": cookie}
    )
    assert chosen.status == 200


async def test_a_person_who_declines_sends_no_code(sandbox: GitHubSandbox, caller: Any) -> None:
    answer = await decide(sandbox, caller, login="hubot", authorize="0")
    back = parameters(answer.headers["location"])
    assert (back["error"], back["state"], "code" in back) == ("access_denied", "xyz", False)


@pytest.mark.parametrize("login", ["acme", "nobody"])
async def test_only_people_sign_in(sandbox: GitHubSandbox, caller: Any, login: str) -> None:
    assert (await decide(sandbox, caller, login=login, authorize="1")).status == 404


async def test_sign_in_can_be_done_over_http_alone(sandbox: GitHubSandbox, caller: Any) -> None:
    put = await caller.call("PUT", "/_sandbox/callback_urls", body={"urls": [OTHER_CALLBACK]})
    assert put.json == {"urls": [OTHER_CALLBACK]}
    credentials = (await caller.call("GET", "/_sandbox/credentials")).json
    assert credentials["client_secret"] == sandbox.client_secret
    assert credentials["callback_urls"] == [OTHER_CALLBACK]
    minted = await caller.call("POST", "/_sandbox/user_tokens", body={"login": "octocat"})
    assert minted.status == 201
    assert (await caller.call("GET", "/user", credential=minted.json["access_token"])).status == 200


async def test_no_rate_limit_is_counted_for_sign_in(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.set_limits(unauthenticated_per_hour=1)
    for _ in range(3):
        assert "code" in await authorize(sandbox, caller)
