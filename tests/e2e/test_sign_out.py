"""A session that ends at identity ends in every other service's process within the minute that is promised."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.people import session_of
from tests.e2e.suite import Setup, Suite, running_suite
from zekt_sandbox import GitHubSandbox

pytestmark = pytest.mark.slow

PROMISED_S: Final = 60
STAYS: Final = "stays"
ENDS: Final = {
    "signs-out": ("POST", "/auth/logout"),
    "signs-out-everywhere": ("DELETE", "/api/account/sessions"),
    "leaves": ("DELETE", "/api/account"),
}
TAKES_BACK: Final = "takes-back-the-yes"
ELSEWHERE: Final = {"router": ("GET", "/api/catalog"), "ingress": ("POST", "/api/operations/ingress/wait")}
NOTHING: Final = {"eventIds": [], "timeoutS": 0}


@pytest.fixture
async def suite(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Suite]:
    for login in (STAYS, TAKES_BACK, *ENDS):
        sandbox.create_user(login)
    async with running_suite("four processes", tmp_path, sandbox, Setup(with_sign_in=True)) as started:
        yield started


async def ask(suite: Suite, service: str, method: str, path: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with suite.http.request(method, suite.url(service) + path, json=NOTHING, headers=headers) as answer:
        return answer.status


async def heard(suite: Suite, token: str) -> set[int]:
    """What the other services answer to who shows this session."""
    return {await ask(suite, service, method, path, token) for service, (method, path) in ELSEWHERE.items()}


async def test_however_a_session_ends_no_other_service_takes_it_a_minute_later(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    tokens = {login: await session_of(suite.http, suite.url("identity"), login) for login in (STAYS, TAKES_BACK, *ENDS)}
    for token in tokens.values():
        assert await heard(suite, token) == {200}
    for login, (method, path) in ENDS.items():
        assert await ask(suite, "identity", method, path, tokens[login]) == 204
    await sandbox.revoke_authorization(TAKES_BACK)
    async with asyncio.timeout(PROMISED_S):
        for login in (*ENDS, TAKES_BACK):
            while await heard(suite, tokens[login]) != {401}:  # noqa: ASYNC110 - another process announces nothing
                await asyncio.sleep(0.2)
    assert await heard(suite, tokens[STAYS]) == {200}
