"""The way back from installing the App: to what was installed, and never anywhere else."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from zekt_identity.setup_http import BURST_OF_PERSON
from zekt_sandbox import GitHubSandbox

from .conftest import Browser, Running, identity_at

SETUP = "/auth/setup?installation_id=72&setup_action=install"
ALL = "/api/account/installations/72/repositories"


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    async with identity_at(sandbox, tmp_path) as running:
        await running.hosted.until_ready()
        yield running


@pytest.fixture
async def octocat(identity: Running) -> Browser:
    browser = identity.browser()
    await browser.sign_in()
    return browser


async def test_one_repository_is_landed_on_and_is_known_at_once(octocat: Browser, sandbox: GitHubSandbox) -> None:
    answer = await octocat.call("GET", SETUP)
    page = f"/api/account/repositories/{sandbox.update_repository('beta/consumer').id}"
    assert (answer.status, answer.headers["Location"]) == (303, page)
    assert (await octocat.call("GET", page)).body["repository"] == "beta/consumer"


async def test_several_repositories_are_landed_on_as_their_list(octocat: Browser, sandbox: GitHubSandbox) -> None:
    sandbox.set_permission("beta/other", "octocat", "read")
    sandbox.update_installation(72, repositories=["beta/consumer", "beta/other"])
    answer = await octocat.call("GET", SETUP)
    assert (answer.status, answer.headers["Location"]) == (303, ALL)


async def test_whoever_is_not_signed_in_signs_in_first_and_lands_there_then(identity: Running) -> None:
    browser = identity.browser()
    answer = await browser.call("GET", SETUP, Sec_Fetch_Site="cross-site")
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/auth/login?return_to=%2Fauth%2Fsetup%3F")
    begun = await browser.call("GET", answer.headers["Location"])
    signed_in = await browser.call("GET", await browser.say_yes(begun.headers["Location"]))
    assert (signed_in.status, signed_in.headers["Location"]) == (303, SETUP)
    assert (await browser.call("GET", SETUP)).headers["Location"].startswith("/api/account/repositories/")


@pytest.mark.parametrize("installation_id", ["71", "999", "1" * 18])
async def test_an_installation_that_the_person_does_not_see_is_not_landed_on(
    octocat: Browser, identity: Running, installation_id: str
) -> None:
    answer = await octocat.call("GET", f"/auth/setup?installation_id={installation_id}&setup_action=install")
    assert answer.told == (404, "not_found")
    assert ("GET /auth/setup", "not_found", 4_242) in await identity.refusals()


@pytest.mark.parametrize("installation_id", ["", "x", "-1", "72x", "%EF%BC%99", "1" * 19])
async def test_a_number_that_is_none_leads_to_the_front_page(octocat: Browser, installation_id: str) -> None:
    answer = await octocat.call("GET", f"/auth/setup?installation_id={installation_id}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_asking_an_owner_to_install_leads_to_the_front_page(octocat: Browser) -> None:
    answer = await octocat.call("GET", "/auth/setup?setup_action=request")
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_the_state_names_a_page_of_this_site(octocat: Browser) -> None:
    assert (await octocat.call("GET", f"{SETUP}&state=/api/account")).headers["Location"] == "/api/account"


@pytest.mark.parametrize(
    "state",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "data:text/html",
        "/a\r\nX: y",
    ],
)
async def test_no_state_leads_elsewhere(octocat: Browser, state: str) -> None:
    location = (await octocat.call("GET", f"{SETUP}&state={quote(state, safe='')}")).headers["Location"]
    assert location.startswith("/api/account/repositories/")


async def test_the_person_lands_though_the_app_cannot_look_at_it_now(octocat: Browser, sandbox: GitHubSandbox) -> None:
    sandbox.add_fault("error", path="/app/installations/*", status=502, count=None)
    assert (await octocat.call("GET", SETUP)).status == 303


async def test_without_github_nobody_lands_anywhere(octocat: Browser, sandbox: GitHubSandbox) -> None:
    sandbox.add_fault("error", path="/user/installations/*", status=502)
    answer = await octocat.call("GET", SETUP)
    assert answer.told == (503, "github_unavailable")
    assert answer.headers["Retry-After"] == "5"


async def test_a_person_lands_five_times_at_once_and_the_app_asks_no_more_often(
    octocat: Browser, identity: Running
) -> None:
    answers = [await octocat.call("GET", SETUP) for _ in range(BURST_OF_PERSON + 1)]
    assert [answer.status for answer in answers] == [303] * BURST_OF_PERSON + [429]
    assert answers[-1].told == (429, "too_many_setups")
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert (await octocat.call("GET", "/auth/setup?setup_action=request")).status == 303
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    assert (await hubot.call("GET", SETUP)).status != 429
