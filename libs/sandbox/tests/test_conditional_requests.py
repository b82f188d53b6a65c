from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox

PATH = "/installation/repositories"


@pytest.mark.parametrize("match", ["{etag}", '"other", {etag}', "{strong}", "*"])
async def test_what_the_caller_has_already_is_not_sent_again(caller: Any, match: str) -> None:
    token = await caller.token(72)
    first = await caller.call("GET", PATH, credential=token)
    etag = first.headers["etag"]
    named = match.format(etag=etag, strong=etag.removeprefix("W/"))
    again = await caller.call("GET", PATH, credential=token, headers={"If-None-Match": named})
    assert (again.status, again.text, again.headers["etag"]) == (304, "", etag)


async def test_a_304_does_not_count_against_the_limit(caller: Any) -> None:
    token = await caller.token(72)
    first = await caller.call("GET", PATH, credential=token)
    for _ in range(3):
        again = await caller.call("GET", PATH, credential=token, headers={"If-None-Match": first.headers["etag"]})
        assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"] == "1"


async def test_a_304_without_credentials_counts(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.create_repository("gamma/public", private=False)
    first = await caller.call("GET", "/repos/gamma/public")
    again = await caller.call("GET", "/repos/gamma/public", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["x-ratelimit-used"]) == (304, "2")


async def test_what_has_changed_is_sent_with_another_etag(sandbox: GitHubSandbox, caller: Any) -> None:
    first = await caller.app("GET", "/app/installations/72")
    sandbox.update_installation(72, suspended=True)
    condition = {"If-None-Match": first.headers["etag"]}
    again = await caller.call("GET", "/app/installations/72", credential=sandbox.app_jwt(), headers=condition)
    assert (again.status, again.json["suspended_at"] is None) == (200, False)
    assert again.headers["etag"] != first.headers["etag"]


async def test_a_page_that_gets_a_successor_has_changed(sandbox: GitHubSandbox, caller: Any) -> None:
    path = "/app/installations?per_page=2"
    first = await caller.app("GET", path)
    sandbox.create_organization("gamma")
    sandbox.create_installation("gamma", id=73)
    condition = {"If-None-Match": first.headers["etag"]}
    assert (await caller.call("GET", path, credential=sandbox.app_jwt(), headers=condition)).status == 200


async def test_suspended_installations_are_listed_with_the_time(sandbox: GitHubSandbox, caller: Any) -> None:
    sandbox.update_installation(71, suspended=True)
    listed = (await caller.app("GET", "/app/installations")).json
    assert [(one["id"], one["suspended_at"] is None) for one in listed] == [(71, False), (72, True)]


async def test_a_refusal_has_no_etag(caller: Any) -> None:
    answer = await caller.call("GET", PATH, credential="ghs_unknown", headers={"If-None-Match": "*"})
    assert (answer.status, "etag" in answer.headers) == (401, False)


async def test_a_permission_that_was_lost_is_refused_and_not_a_304(sandbox: GitHubSandbox, caller: Any) -> None:
    token = await caller.token(72)
    etag = (await caller.call("GET", "/repos/beta/consumer", credential=token)).headers["etag"]
    sandbox.revoke_tokens(token=token)
    answer = await caller.call("GET", "/repos/beta/consumer", credential=token, headers={"If-None-Match": etag})
    assert answer.status == 401
