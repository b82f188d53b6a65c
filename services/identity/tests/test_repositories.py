"""Acting for people at GitHub: what they see, what they administer, and their repositories' webhooks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_identity.acting import RETRY_AFTER_S
from zekt_identity.audit import TokenGiven
from zekt_sandbox import GitHubSandbox

from .conftest import Browser, Running, identity_at, until

CALLS = [("GET", ""), ("GET", "/workflows"), ("PUT", "/hook"), ("DELETE", "/hook")]
OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32
INSTALLATIONS = "/api/account/installations"
REPOSITORIES = f"{INSTALLATIONS}/72/repositories"


def id_of(sandbox: GitHubSandbox, full_name: str) -> int:
    return sandbox.update_repository(full_name).id


def place_of(sandbox: GitHubSandbox, full_name: str = "beta/consumer", rest: str = "") -> str:
    return f"/api/account/repositories/{id_of(sandbox, full_name)}{rest}"


def hooks(sandbox: GitHubSandbox, full_name: str = "beta/consumer") -> list[Any]:
    return sandbox.repository_hooks(full_name)


async def until_known(browser: Browser, sandbox: GitHubSandbox) -> None:
    """Wait until identity has heard that the repository is the App's."""

    async def is_known() -> bool:
        return (await browser.call("GET", place_of(sandbox))).status == 200

    await until(is_known, within_s=30)


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    keys = {2: NEW_KEY, 1: OLD_KEY}
    async with identity_at(sandbox, tmp_path, webhook_master_keys=keys, reconcile_after_s=0.0) as running:
        await running.hosted.until_ready()
        yield running


@pytest.fixture
async def octocat(identity: Running, sandbox: GitHubSandbox) -> Browser:
    """Signed in, once the repository is known to be the App's."""
    browser = identity.browser()
    await browser.sign_in()
    await until_known(browser, sandbox)
    return browser


async def test_a_person_sees_the_installations_and_repositories_that_github_shows_them(
    octocat: Browser, identity: Running, sandbox: GitHubSandbox
) -> None:
    beta = sandbox.installation(72).account.id
    listed = await octocat.call("GET", INSTALLATIONS)
    assert listed.body == {
        "installations": [{"installationId": 72, "accountId": beta, "login": "beta", "isSuspended": False}],
        "next": None,
    }
    [shown] = (await octocat.call("GET", REPOSITORIES)).body["repositories"]
    assert (shown["repository"], shown["accountId"], shown["isAdmin"]) == ("beta/consumer", beta, True)
    stranger = identity.browser()
    await stranger.sign_in("hubot")
    assert (await stranger.call("GET", INSTALLATIONS)).body == {"installations": [], "next": None}
    assert (await stranger.call("GET", REPOSITORIES)).told == (404, "not_found")


async def test_a_person_sees_an_enterprises_installation_among_the_others(
    octocat: Browser, sandbox: GitHubSandbox
) -> None:
    sandbox.create_enterprise("octo-corp")
    sandbox.create_installation("octo-corp", id=71)
    sandbox.set_membership("octo-corp", "octocat", "admin")
    shown = (await octocat.call("GET", INSTALLATIONS)).body["installations"]
    assert {one["installationId"]: one["login"] for one in shown} == {71: "octo-corp", 72: "beta"}


async def test_pages_follow_each_other(octocat: Browser, sandbox: GitHubSandbox) -> None:
    names = [f"beta/many-{number}" for number in range(100)]
    for name in names:
        sandbox.create_repository(name)
        sandbox.set_permission(name, "octocat", "read")
    sandbox.update_installation(72, repositories=["beta/consumer", *names])
    first = (await octocat.call("GET", REPOSITORIES)).body
    second = (await octocat.call("GET", f"{REPOSITORIES}?page={first['next']}")).body
    assert (len(first["repositories"]), len(second["repositories"]), second["next"]) == (100, 1, None)
    for page in ("0", "-1", "1001", "x", "%EF%BC%99"):
        assert (await octocat.call("GET", f"{REPOSITORIES}?page={page}")).told == (400, "invalid_page")


async def test_an_admin_sees_the_workflows(octocat: Browser, sandbox: GitHubSandbox) -> None:
    sandbox.create_workflow("beta/consumer", ".github/workflows/ci.yml")
    [workflow] = (await octocat.call("GET", place_of(sandbox, rest="/workflows"))).body["workflows"]
    assert (workflow["path"], workflow["state"]) == (".github/workflows/ci.yml", "active")


async def test_a_hook_is_placed_once_with_the_newest_secret_which_nobody_is_told(
    octocat: Browser, sandbox: GitHubSandbox, identity: Running
) -> None:
    place = place_of(sandbox, rest="/hook")
    answers = [await octocat.call("PUT", place) for _ in range(3)]
    [hook] = hooks(sandbox)
    secret = repository_secret(NEW_KEY, id_of(sandbox, "beta/consumer"))
    assert (hook.secret, hook.content_type, hook.events, hook.active) == (secret, "json", ("workflow_run",), True)
    url = f"{identity.hosted.url}/webhooks/github"
    shown = {"hookId": hook.id, "url": url, "events": ["workflow_run"], "isActive": True}
    assert [(answer.status, answer.body) for answer in answers] == [(200, shown)] * 3
    assert [(await octocat.call("DELETE", place)).status for _ in range(2)] == [204, 204]
    assert hooks(sandbox) == []


async def test_people_who_place_it_at_once_place_one(octocat: Browser, sandbox: GitHubSandbox) -> None:
    place = place_of(sandbox, rest="/hook")
    answers = await asyncio.gather(*(octocat.call("PUT", place) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len(hooks(sandbox)) == 1


async def test_other_hooks_of_the_repository_are_left_alone(
    octocat: Browser, sandbox: GitHubSandbox, identity: Running
) -> None:
    token = sandbox.mint_user_token("octocat").value
    body = {"events": ["push"], "config": {"url": "https://ci.example/hook"}}
    headers = {"Authorization": f"Bearer {token}"}
    async with identity.http.post(f"{sandbox.url}/repos/beta/consumer/hooks", json=body, headers=headers) as placed:
        assert placed.status == 201
    await octocat.call("PUT", place_of(sandbox, rest="/hook"))
    await octocat.call("DELETE", place_of(sandbox, rest="/hook"))
    assert [hook.url for hook in hooks(sandbox)] == ["https://ci.example/hook"]


async def test_without_a_master_key_no_hook_is_placed(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    async with identity_at(sandbox, tmp_path, reconcile_after_s=0.0) as running:
        await running.hosted.until_ready()
        browser = running.browser()
        await browser.sign_in()
        await until_known(browser, sandbox)
        answer = await browser.call("PUT", place_of(sandbox, rest="/hook"))
        assert answer.told == (404, "repository_hooks_off")


async def test_what_the_installation_does_not_grant_is_said(octocat: Browser, sandbox: GitHubSandbox) -> None:
    sandbox.update_installation(72, permissions={"contents": "write", "metadata": "read"})
    assert (await octocat.call("PUT", place_of(sandbox, rest="/hook"))).told == (403, "permission_not_granted")
    assert (await octocat.call("GET", place_of(sandbox, rest="/workflows"))).told == (403, "permission_not_granted")


@pytest.mark.parametrize(("method", "rest"), CALLS)
async def test_a_repository_is_its_admins_alone(
    identity: Running, octocat: Browser, sandbox: GitHubSandbox, method: str, rest: str
) -> None:
    await octocat.call("PUT", place_of(sandbox, rest="/hook"))
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    unseen = await hubot.call(method, place_of(sandbox, rest=rest))
    unknown = await hubot.call(method, f"/api/account/repositories/999999{rest}")
    assert (unseen.status, unseen.body) == (unknown.status, unknown.body)
    assert unseen.told == (404, "repository_not_found")
    reader = identity.browser()
    sandbox.create_user("mona", id=4_244)
    sandbox.set_permission("beta/consumer", "mona", "write")
    await reader.sign_in("mona")
    assert (await reader.call(method, place_of(sandbox, rest=rest))).told == (403, "repository_admin_needed")
    assert len(hooks(sandbox)) == 1
    refused = {(route, error, account) for route, error, account in await identity.refusals()}
    route = f"{method} /api/account/repositories/{{repository_id:\\d{{1,18}}}}{rest}"
    assert {(route, "repository_not_found", 4_243), (route, "repository_admin_needed", 4_244)} <= refused


async def test_an_admin_of_a_repository_where_the_app_is_not_gets_nothing(
    octocat: Browser, sandbox: GitHubSandbox
) -> None:
    sandbox.create_repository("gamma/public", private=False)
    sandbox.set_permission("gamma/public", "octocat", "admin")
    for name in ("beta/other", "gamma/public"):
        answer = await octocat.call("PUT", place_of(sandbox, name, "/hook"))
        assert answer.told == (404, "repository_not_found")


async def test_a_right_is_believed_for_half_a_minute_and_asked_for_once(
    identity: Running, octocat: Browser, sandbox: GitHubSandbox
) -> None:
    calls = sandbox.add_fault("slow", path="/repositories/*", count=None, delay_s=0.2)
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    answers = await asyncio.gather(*(hubot.call("GET", place_of(sandbox)) for _ in range(50)))
    assert {answer.told for answer in answers} == {(404, "repository_not_found")}
    assert calls.taken == 1
    sandbox.set_permission("beta/consumer", "octocat", "none")
    assert (await octocat.call("GET", place_of(sandbox))).status == 200


@pytest.mark.parametrize(
    ("fault", "retry_after", "then"),
    [
        ({"kind": "error", "status": 502}, "5", 200),
        ({"kind": "secondary", "status": 403, "retry_after_s": 37}, "37", 503),
    ],
)
async def test_when_github_cannot_say_nobody_is_an_admin(
    identity: Running, octocat: Browser, fault: dict[str, Any], retry_after: str, then: int
) -> None:
    sandbox = identity.sandbox
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    sandbox.set_permission("beta/consumer", "hubot", "admin")
    sandbox.add_fault(path="/repositories/*", **fault)
    answer = await hubot.call("PUT", place_of(sandbox, rest="/hook"))
    assert answer.told == (503, "github_unavailable")
    assert answer.headers["Retry-After"] == retry_after
    assert hooks(sandbox) == []
    assert (await hubot.call("PUT", place_of(sandbox, rest="/hook"))).status == then
    assert (await octocat.call("GET", INSTALLATIONS)).status == 200, (
        "what GitHub asks for one person holds for no other"
    )


async def test_who_cannot_ask_github_does_not_learn_where_the_app_is_installed(
    identity: Running, octocat: Browser, sandbox: GitHubSandbox
) -> None:
    """Anybody can spend their own rate limit and then ask about whatever repository they like, by its number."""
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    sandbox.add_fault("secondary", path="/repositories/*", retry_after_s=600)
    places = [place_of(sandbox, name) for name in ("beta/consumer", "beta/other")]
    told = [(await hubot.call("GET", place)).told for place in [*places, "/api/account/repositories/999999"]]
    assert told == [(503, "github_unavailable")] * 3
    assert (await octocat.call("GET", places[0])).status == 200, "the first one is there for its admin"


async def test_an_outage_in_which_github_asks_for_a_pause_is_everybodys(identity: Running, octocat: Browser) -> None:
    sandbox = identity.sandbox
    hubot = identity.browser()
    await hubot.sign_in("hubot")
    asked = sandbox.add_fault("secondary", path="/user/installations", status=503, retry_after_s=600)
    assert (await hubot.call("GET", INSTALLATIONS)).headers["Retry-After"] == "600"
    told = [await browser.call("GET", INSTALLATIONS) for browser in (octocat, hubot)]
    assert {answer.told for answer in told} == {(503, "github_unavailable")}
    assert all(int(answer.headers["Retry-After"]) > RETRY_AFTER_S for answer in told), (
        "what is left of what it asked for"
    )
    assert asked.taken == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [(301, (409, "repository_moved")), (307, (409, "repository_moved")), (409, (422, "github_refused"))],
)
async def test_what_github_says_of_one_repository_leaves_nobody_else_without_it(
    octocat: Browser, sandbox: GitHubSandbox, status: int, told: tuple[int, str]
) -> None:
    """Whoever renames a repository within the half minute that their rights are believed is redirected."""
    sandbox.add_fault("error", path="/repos/*", count=None, status=status)
    for _ in range(4):
        answer = await octocat.call("GET", place_of(sandbox, rest="/workflows"))
        assert answer.told == told
    assert (await octocat.call("GET", INSTALLATIONS)).status == 200


async def test_a_token_that_github_takes_no_more_means_signing_in_again(
    identity: Running, octocat: Browser, sandbox: GitHubSandbox
) -> None:
    sandbox.webhook_url = None
    await sandbox.revoke_authorization("octocat")
    answer = await octocat.call("GET", INSTALLATIONS)
    assert answer.told == (401, "sign_in_needed")
    assert ("GET /api/account/installations", "sign_in_needed", 4_242) in await identity.refusals()


async def test_each_use_of_a_persons_token_is_in_their_audit(
    identity: Running, octocat: Browser, sandbox: GitHubSandbox
) -> None:
    await octocat.call("PUT", place_of(sandbox, rest="/hook"))
    given = {(one.actor, one.purpose) for one in await identity.events(TokenGiven) if one.account_id == 4_242}
    assert {("identity", "check rights in a repository"), ("identity", "place webhook")} <= given
