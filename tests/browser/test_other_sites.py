"""What other sites can do with the cookie of somebody who is signed in, by the rules of a real browser: nothing."""

import pytest

from tests.browser.devtools import DevTools
from tests.browser.front import ELSEWHERE, OURS, SIBLING, Front
from tests.browser.people import signed_in
from tests.browser.tab import Tab
from zekt_common.auth.sessions import COOKIE
from zekt_identity.auth_http import ATTEMPT_COOKIE

ACCOUNT = "/api/account"
SIGN_OUT = "/auth/logout"


async def is_signed_in(tab: Tab, front: Front) -> bool:
    """Whether the person's own pages still show who it is."""
    await tab.visit(front.url())
    status: int = await tab.run(f"fetch('{ACCOUNT}').then(answer => answer.status)")
    return status == 200


def posting_to(url: str) -> str:
    return f'<form method=post action="{url}"><button>Win a prize</button></form>'


async def test_a_link_from_another_site_finds_the_person_signed_in(tools: DevTools, front: Front) -> None:
    tab = await signed_in(tools, front)
    front.pages[ELSEWHERE, "/"] = f'<a href="{front.url(ACCOUNT)}">Your account</a>'
    await tab.visit(front.url(host=ELSEWHERE))
    await tab.click("a")
    assert COOKIE in front.requests(ACCOUNT)[-1].cookies
    assert '"accountId":4242' in await tab.text()


async def test_the_cookie_is_not_sent_without_tls(tools: DevTools, front: Front) -> None:
    tab = await signed_in(tools, front)
    await tab.visit(front.plain_url())
    [arrived] = front.requests("/", scheme="http")
    assert arrived.cookies == frozenset()
    assert await is_signed_in(tab, front)


async def test_a_form_of_another_site_comes_without_the_cookie(tools: DevTools, front: Front) -> None:
    tab = await signed_in(tools, front)
    front.pages[ELSEWHERE, "/"] = posting_to(front.url(SIGN_OUT))
    await tab.visit(front.url(host=ELSEWHERE))
    await tab.click("button")
    [arrived] = front.requests(SIGN_OUT)
    assert (arrived.method, arrived.cookies, arrived.status) == ("POST", frozenset(), 401)
    assert await is_signed_in(tab, front)


async def test_a_form_of_a_sibling_host_comes_with_the_cookie_and_is_refused(tools: DevTools, front: Front) -> None:
    """To a browser the sibling is the same site: that our host is another one, we have to see ourselves."""
    tab = await signed_in(tools, front)
    front.pages[SIBLING, "/"] = posting_to(front.url(SIGN_OUT))
    await tab.visit(front.url(host=SIBLING))
    await tab.click("button")
    [arrived] = front.requests(SIGN_OUT)
    assert (arrived.method, COOKIE in arrived.cookies, arrived.status) == ("POST", True, 403)
    assert await is_signed_in(tab, front)


@pytest.mark.parametrize("element", ["<iframe src='{}'></iframe>", "<img src='{}'>", "<script src='{}'></script>"])
async def test_what_another_site_shows_of_ours_comes_without_the_cookie(
    tools: DevTools, front: Front, element: str
) -> None:
    tab = await signed_in(tools, front)
    front.pages[ELSEWHERE, "/"] = element.format(front.url(ACCOUNT))
    await tab.visit(front.url(host=ELSEWHERE))
    [arrived] = front.requests(ACCOUNT)
    assert (arrived.cookies, arrived.status) == (frozenset(), 401)


@pytest.mark.parametrize("host", [ELSEWHERE, SIBLING])
async def test_a_script_of_another_host_reads_nothing_of_ours(tools: DevTools, front: Front, host: str) -> None:
    tab = await signed_in(tools, front)
    await tab.visit(front.url(host=host))
    asking = f"fetch('{front.url(ACCOUNT)}', {{credentials: 'include'}}).then(answer => answer.text(), () => 'refused')"
    assert await tab.run(asking) == "refused"
    assert len(front.requests(ACCOUNT)) == 1


async def test_another_site_begins_no_sign_in_behind_a_persons_back(tools: DevTools, front: Front) -> None:
    tab = await Tab.open(tools)
    front.pages[ELSEWHERE, "/"] = f"<img src='{front.url('/auth/login')}'>"
    await tab.visit(front.url(host=ELSEWHERE))
    assert front.requests("/auth/login")[0].status == 303
    assert ATTEMPT_COOKIE not in await tab.cookies()


@pytest.mark.parametrize("attributes", ["Secure; Path=/; Domain=zekt.example", "Secure; Path=/auth", "Path=/"])
async def test_a_sibling_host_cannot_plant_a_cookie_of_ours(tools: DevTools, front: Front, attributes: str) -> None:
    tab = await Tab.open(tools)
    for page in (front.url(host=SIBLING), front.plain_url(host=OURS)):
        await tab.visit(page)
        for name in (COOKIE, "harmless"):
            await tab.run(f"document.cookie = '{name}=planted; {attributes}'")
    assert set(await tab.cookies()) == {"harmless"}
