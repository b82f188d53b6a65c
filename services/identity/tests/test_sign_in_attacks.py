"""What a sign-in must withstand: each attack is refused without a word that helps, and leaves a note."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from zekt_common.auth.sessions import COOKIE
from zekt_identity.auth_http import ATTEMPT_COOKIE, CALLBACKS_BURST
from zekt_identity.session import SessionBegun
from zekt_identity.sign_in import SIGN_INS_AT_ONCE
from zekt_sandbox import GitHubSandbox

from .conftest import Browser, Running, identity_at

REFUSED = (403, "sign_in_refused")
NOTED = ("GET /auth/callback", "sign_in_refused", 0)


async def refused(identity: Running, browser: Browser, callback: str) -> None:
    before = browser.cookies.get(COOKIE)
    answer = await browser.call("GET", callback)
    assert answer.told == REFUSED
    assert answer.body["detail"] == "The sign-in was not completed. Begin again at /auth/login."
    assert browser.cookies.get(COOKIE) == before
    assert NOTED in await identity.refusals()


async def test_a_replayed_callback_is_refused(identity: Running) -> None:
    browser = identity.browser()
    callback = await browser.authorize()
    thief = Browser(browser.http, browser.base, dict(browser.cookies))
    assert (await browser.call("GET", callback)).status == 303
    await refused(identity, thief, callback)


async def test_a_replayed_state_is_refused_though_the_code_be_fresh(identity: Running) -> None:
    browser = identity.browser()
    asking = await browser.begin()
    first, second = await browser.say_yes(asking), await browser.say_yes(asking)
    replaying = Browser(browser.http, browser.base, dict(browser.cookies))
    assert (await browser.call("GET", first)).status == 303
    await refused(identity, replaying, second)


async def test_a_stolen_code_is_of_no_use_in_another_browser(identity: Running) -> None:
    victim, thief = identity.browser(), identity.browser()
    stolen = await victim.authorize()
    await refused(identity, identity.browser(), stolen)
    await thief.begin()
    await refused(identity, thief, stolen)
    code = stolen.split("code=")[1].split("&")[0]
    own_state = (await thief.begin()).split("state=")[1].split("&")[0]
    await refused(identity, thief, f"/auth/callback?code={code}&state={own_state}")


async def test_nobody_is_signed_in_to_somebody_elses_session(identity: Running) -> None:
    """A link made from an attacker's own sign-in does nothing in the victim's browser."""
    attacker, victim = identity.browser(), identity.browser()
    link = await attacker.authorize("hubot")
    await victim.sign_in("octocat")
    await refused(identity, victim, link)
    assert (await victim.call("GET", "/api/account")).body["accountId"] == 4_242


async def test_a_session_cookie_from_before_does_not_live_on_as_somebody_else(identity: Running) -> None:
    planted = identity.browser()
    await planted.sign_in("hubot")
    browser = Browser(planted.http, planted.base, dict(planted.cookies))
    await browser.sign_in("octocat")
    assert (await browser.call("GET", "/api/account")).body["accountId"] == 4_242
    assert (await planted.call("GET", "/api/account")).body["accountId"] == 4_243
    assert browser.cookies[COOKIE] != planted.cookies[COOKIE]


@pytest.mark.parametrize("query", ["", "?state=x", "?code=&state=", "?code=c&state=%F0%9F", "?error=access_denied"])
async def test_a_callback_that_nobody_asked_for_is_refused(identity: Running, query: str) -> None:
    await refused(identity, identity.browser(), f"/auth/callback{query}")
    begun = identity.browser()
    await begun.begin()
    await refused(identity, begun, f"/auth/callback{query}")


async def test_a_sign_in_that_takes_too_long_is_refused(identity: Running) -> None:
    browser = identity.browser()
    callback = await browser.authorize()
    identity.clock.advance(minutes=10)
    await refused(identity, browser, callback)


async def test_a_note_that_was_tampered_with_is_refused(identity: Running) -> None:
    browser = identity.browser()
    callback = await browser.authorize()
    note = browser.cookies[ATTEMPT_COOKIE]
    browser.cookies[ATTEMPT_COOKIE] = note[:20] + ("A" if note[20] != "A" else "B") + note[21:]
    await refused(identity, browser, callback)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/%5Cevil.example/",
        "/%2Fevil.example",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie:x=y",
        "evil.example",
        "/%09/evil.example",
        "",
    ],
)
async def test_nobody_is_redirected_elsewhere(identity: Running, elsewhere: str) -> None:
    answer = await identity.browser().call("GET", f"/auth/login?return_to={elsewhere}")
    assert answer.told == (400, "return_refused")


async def test_the_host_header_does_not_choose_where_github_returns_to(identity: Running) -> None:
    answer = await identity.browser().call("GET", "/auth/login", Host="evil.example")
    assert "evil" not in answer.headers["Location"]


async def test_one_person_signs_in_so_often_and_then_waits_and_others_do_not(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    """Each sign-in leaves events, also with leaving or signing out everywhere behind it."""
    async with identity_at(sandbox, tmp_path, trusted_proxies=(ip_network("127.0.0.1"),)) as behind_a_proxy:
        busy = behind_a_proxy.browser()
        for number in range(SIGN_INS_AT_ONCE):
            callback = await busy.authorize()
            assert (await busy.call("GET", callback, X_Forwarded_For=f"203.0.{number}.1")).status == 303
        callback = await busy.authorize()
        refused = await busy.call("GET", callback, X_Forwarded_For="198.51.100.1")
        assert refused.told == (429, "too_many_sign_ins")
        assert int(refused.headers["Retry-After"]) > 1
        assert len(await behind_a_proxy.events(SessionBegun)) == SIGN_INS_AT_ONCE
        await behind_a_proxy.browser().sign_in("hubot")


async def test_one_network_comes_back_so_often_and_then_waits_before_github_is_asked(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    path, there = "/auth/callback?code=c&state=x", "203.0.113.{}"
    async with identity_at(sandbox, tmp_path, trusted_proxies=(ip_network("127.0.0.1"),)) as behind_a_proxy:
        browser = behind_a_proxy.browser()
        answers = [
            await browser.call("GET", path, X_Forwarded_For=there.format(n)) for n in range(CALLBACKS_BURST + 10)
        ]
        assert {answer.status for answer in answers[:CALLBACKS_BURST]} == {403}
        assert answers[-1].told == (429, "too_many_sign_ins")
        assert int(answers[-1].headers["Retry-After"]) >= 1
        await behind_a_proxy.browser().sign_in()
