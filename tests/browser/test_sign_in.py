"""Signing in and out in a real browser, over TLS, by clicks alone."""

from datetime import UTC, datetime

import pytest

from tests.browser.devtools import DevTools
from tests.browser.front import OURS, Front
from tests.browser.people import at_github, say_yes, signed_in
from tests.browser.tab import Tab
from zekt_common.auth.sessions import COOKIE
from zekt_identity.auth_http import ATTEMPT_COOKIE

SIGN_OUT = "fetch('/auth/logout', {method: 'POST'}).then(answer => answer.status)"
ACCOUNT = "fetch('/api/account').then(answer => answer.status)"


async def test_a_person_signs_in_and_out_again(tools: DevTools, front: Front) -> None:
    tab = await at_github(tools, front, "/home")
    assert set(await tab.cookies()) == {ATTEMPT_COOKIE}
    await say_yes(tab)
    assert await tab.url() == front.url("/home")
    assert COOKIE in await tab.cookies()
    assert ATTEMPT_COOKIE not in await tab.cookies()
    assert await tab.run(ACCOUNT) == 200
    assert await tab.run(SIGN_OUT) == 204
    assert COOKIE not in await tab.cookies()
    assert await tab.run(ACCOUNT) == 401


async def test_the_browser_keeps_the_cookie_for_an_hour_for_one_host_and_from_scripts(
    tools: DevTools, front: Front
) -> None:
    tab = await signed_in(tools, front)
    cookie = (await tab.cookies())[COOKIE]
    assert {name: cookie[name] for name in ("secure", "httpOnly", "sameSite", "domain", "path", "session")} == {
        "secure": True,
        "httpOnly": True,
        "sameSite": "Lax",
        "domain": OURS,
        "path": "/",
        "session": False,
    }
    assert 3_000 < cookie["expires"] - datetime.now(UTC).timestamp() <= 3_600
    assert await tab.run("document.cookie") == ""


async def test_a_cookie_kept_from_before_signing_out_opens_nothing(tools: DevTools, front: Front) -> None:
    tab = await signed_in(tools, front)
    kept = (await tab.cookies())[COOKIE]
    assert await tab.run(SIGN_OUT) == 204
    await tab.put(kept)
    assert await tab.run(ACCOUNT) == 401
    assert COOKIE in front.requests("/api/account")[-1].cookies


async def test_somebody_who_says_no_is_not_signed_in(tools: DevTools, front: Front) -> None:
    tab = await at_github(tools, front)
    await tab.click("button[value='0']")
    assert "sign_in_refused" in await tab.text()
    assert COOKIE not in await tab.cookies()


async def test_a_sign_in_ends_in_the_browser_that_began_it_alone(tools: DevTools, front: Front) -> None:
    """The address that GitHub returned one person to does nothing in another's browser, begun or not."""
    attacker = await signed_in(tools, front, "hubot")
    [returned] = front.requests("/auth/callback")
    for victim in (await Tab.open(tools), await at_github(tools, front)):
        await victim.visit(front.url(f"{returned.path}?{returned.query}"))
        assert "sign_in_refused" in await victim.text()
        assert COOKIE not in await victim.cookies()
    assert await attacker.run(ACCOUNT) == 200


@pytest.mark.parametrize("path", ["/..//evil.example/", "/.//evil.example/", "/%252Fevil.example/", "/;@evil.example/"])
async def test_whatever_path_is_asked_for_the_browser_comes_back_to_our_host(
    tools: DevTools, front: Front, path: str
) -> None:
    tab = await at_github(tools, front, path)
    await say_yes(tab)
    assert await tab.run("location.host") == f"{OURS}:{front.port}"
