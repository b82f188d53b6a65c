"""What a person does in a browser to sign in, by clicks alone."""

from tests.browser.devtools import DevTools
from tests.browser.front import Front
from tests.browser.tab import Tab


async def at_github(tools: DevTools, front: Front, return_to: str = "/") -> Tab:
    """Return a new browser in which a sign-in has begun: it shows GitHub's page that asks."""
    tab = await Tab.open(tools)
    await tab.visit(front.url(f"/auth/login?return_to={return_to}"))
    return tab


async def say_yes(tab: Tab, login: str = "octocat") -> None:
    """Say at GitHub who it is, and yes; GitHub then sends the browser back."""
    await tab.run(f"document.querySelector('[name=login]').value = {login!r}")
    await tab.click("button[value='1']")


async def signed_in(tools: DevTools, front: Front, login: str = "octocat") -> Tab:
    """Return a new browser in which the person has signed in."""
    tab = await at_github(tools, front)
    await say_yes(tab, login)
    assert await tab.url() == front.url()
    return tab
