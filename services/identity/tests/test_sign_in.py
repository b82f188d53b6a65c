"""Signing in and out against the stand-in, as a browser does it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from structlog.testing import capture_logs

from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.sessions import COOKIE
from zekt_identity.account import key_of
from zekt_identity.auth_http import ATTEMPT_COOKIE
from zekt_identity.session import SessionBegun, SessionEnded
from zekt_identity.settings import OAuthClient
from zekt_sandbox import GitHubSandbox

from .conftest import Running, identity_at

DESCRIPTION: dict[str, Any] = {
    "persona": "both",
    "kind": "individual",
    "contact": {"name": "Mona", "email": "mona@octocats.example"},
}


async def test_a_person_signs_in_and_out_again(identity: Running) -> None:
    browser = identity.browser()
    assert (await browser.call("GET", "/api/account")).told == (401, "token_refused")
    await browser.sign_in()
    assert set(browser.cookies) == {COOKIE}
    account = await browser.call("GET", "/api/account")
    assert (account.status, account.body["accountId"], account.body["status"]) == (200, 4_242, "linked")
    kept = dict(browser.cookies)
    assert (await browser.call("POST", "/auth/logout")).status == 204
    assert browser.cookies == {}
    browser.cookies = kept
    assert (await browser.call("GET", "/api/account")).told == (401, "token_refused")


async def test_the_browser_comes_back_to_the_page_it_wanted(identity: Running) -> None:
    browser = identity.browser()
    answer = await browser.call("GET", await browser.authorize("octocat", "/setup%3Finstallation_id=72"))
    assert (answer.status, answer.headers["Location"]) == (303, "/setup?installation_id=72")
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


async def test_a_session_is_renewed_under_the_same_id(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    before = browser.cookies[COOKIE]
    identity.clock.advance(minutes=30)
    assert (await browser.call("POST", "/auth/renew")).status == 204
    assert browser.cookies[COOKIE] != before
    assert (await browser.call("POST", "/auth/logout")).status == 204
    browser.cookies = {COOKIE: before}
    assert (await browser.call("GET", "/api/account")).status == 401


async def test_signing_out_everywhere_ends_every_session(identity: Running) -> None:
    here, there = identity.browser(), identity.browser()
    await here.sign_in()
    await there.sign_in()
    assert (await here.call("DELETE", "/api/account/sessions")).status == 204
    assert (await there.call("GET", "/api/account")).status == 401
    identity.clock.advance(seconds=1)
    await there.sign_in()
    assert (await there.call("GET", "/api/account")).status == 200


async def test_github_is_asked_with_state_and_a_challenge_and_told_one_place_to_return_to(identity: Running) -> None:
    browser = identity.browser()
    begun = await browser.call("GET", "/auth/login")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.headers["Location"]).query).items()}
    assert asked["redirect_uri"] == f"{identity.hosted.url}/auth/callback"
    assert asked["code_challenge_method"] == "S256"
    assert asked["state"] not in browser.cookies[ATTEMPT_COOKIE]


async def test_github_failing_is_said_with_when_to_come_again(identity: Running) -> None:
    browser = identity.browser()
    callback = await browser.authorize("octocat")
    identity.sandbox.add_fault("secondary", path="/login/oauth/access_token", retry_after_s=7)
    answer = await browser.call("GET", callback)
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "github_unavailable"), "7")
    assert COOKIE not in browser.cookies


async def test_a_person_whose_login_changed_has_the_same_account(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in("octocat")
    opened = await browser.call("PUT", "/api/account", DESCRIPTION)
    await identity.sandbox.rename_account("octocat", "mona")
    assert (await browser.call("GET", "/api/account")).body == opened.body, "the session goes on"
    again = identity.browser()
    await again.sign_in("mona")
    assert (await again.call("GET", "/api/account")).body == opened.body
    assert opened.body["accountId"] == 4_242


async def test_whoever_takes_a_former_login_gets_nothing_of_who_had_it(identity: Running) -> None:
    before, successor = identity.browser(), identity.browser()
    await before.sign_in("octocat")
    await before.call("PUT", "/api/account", DESCRIPTION)
    await identity.sandbox.rename_account("octocat", "mona")
    identity.sandbox.create_user("octocat", id=5_000)
    await successor.sign_in("octocat")
    theirs = (await successor.call("GET", "/api/account")).body
    assert (theirs["accountId"], theirs["contact"], theirs["persona"]) == (5_000, None, None)
    assert "4242" not in json.dumps((await successor.call("GET", "/api/audit")).body)
    assert (await before.call("GET", "/api/account")).body["accountId"] == 4_242


async def test_a_person_who_has_spent_their_own_limit_does_not_keep_others_from_signing_in(identity: Running) -> None:
    spent, other = identity.browser(), identity.browser()
    theirs, others = await spent.authorize("octocat"), await other.authorize("hubot")
    identity.sandbox.add_fault("secondary", path="/user", retry_after_s=3600)
    answer = await spent.call("GET", theirs)
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "github_unavailable"), "3600")
    assert (await other.call("GET", others)).status == 303


async def test_what_github_asks_of_the_app_itself_everybody_heeds(identity: Running) -> None:
    first, second = identity.browser(), identity.browser()
    callbacks = [await first.authorize("octocat"), await second.authorize("hubot")]
    limited = identity.sandbox.add_fault("secondary", path="/login/oauth/access_token", count=None, retry_after_s=3600)
    for browser, callback in zip((first, second), callbacks, strict=True):
        assert (await browser.call("GET", callback)).told == (503, "github_unavailable")
    assert limited.taken == 1


async def test_an_operator_can_tell_a_wrong_client_secret_from_a_code_that_is_spent(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    wrong = OAuthClient(client_id=sandbox.client_id, client_secret="not-the-secret")
    async with identity_at(sandbox, tmp_path, oauth=wrong) as identity:
        with capture_logs() as logs:
            browser = identity.browser()
            callback = await browser.authorize()
            assert (await browser.call("GET", callback)).told == (403, "sign_in_refused")
            assert (await browser.call("GET", "/auth/callback?error=<script>")).status == 403
        reasons = [entry["reason"] for entry in logs if entry["event"] == "sign_in_refused"]
        assert reasons == ["incorrect_client_credentials", "no_code"]


async def test_who_leaves_while_they_sign_in_elsewhere_has_no_session_there(identity: Running) -> None:
    async with open_backend(identity.data_dir, "identity") as backend:
        await backend.keys.destroy(key_of(4_242, 1))  # as leaving does, once the account is known
    browser = identity.browser()
    assert (await browser.call("GET", await browser.authorize())).told == (403, "sign_in_refused")
    assert COOKIE not in browser.cookies
    [begun], [ended] = await identity.events(SessionBegun), await identity.events(SessionEnded)
    assert begun.session_id == ended.session_id
