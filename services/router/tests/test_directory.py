"""How names are asked for at GitHub: as whom, and not again at once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest
from zekt_common.kit.identity_client import TokensRefused
from zekt_router.directory import REFUSED_FOR_S, InstalledNames, NameUnknown


@dataclass
class Asked:
    """Identity and GitHub, who know one repository and one account, and remember what they were asked."""

    tokens: list[str | None] = field(default_factory=list)
    users: list[tuple[str, str | None]] = field(default_factory=list)
    now: float = 0.0

    async def token(self, request: InstallationTokenRequest, /) -> InstallationToken:
        self.tokens.append(request.repository)
        if request.repository != "ada/tools":
            raise TokensRefused("installation_not_found", "The App is not installed there.")
        expires = datetime(2030, 1, 1, tzinfo=UTC)
        return InstallationToken(
            token="ghs_made_up", expires_at=expires, installation_id=5, account_id=1, repository_ids=[11]
        )

    async def user(self, request: web.Request) -> web.Response:
        login = request.match_info["login"]
        self.users.append((login, request.headers.get("Authorization")))
        return web.json_response({"id": 1} if login == "ada" else {}, status=200 if login == "ada" else 404)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def names(asked: Asked) -> AsyncIterator[InstalledNames]:
    app = web.Application()
    app.router.add_get("/users/{login}", asked.user)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield InstalledNames(asked, http, url, monotonic=lambda: asked.now)
    await runner.cleanup()


async def test_an_account_is_asked_for_with_an_installations_token_where_there_is_one(
    names: InstalledNames, asked: Asked
) -> None:
    assert await names.account_id("ada", through="ada/tools") == 1
    assert await names.account_id("ada") == 1
    assert asked.users == [("ada", "Bearer ghs_made_up"), ("ada", None)]


async def test_without_the_app_in_the_repository_github_is_not_asked_for_the_account(
    names: InstalledNames, asked: Asked
) -> None:
    with pytest.raises(NameUnknown):
        await names.account_id("ada", through="ada/other")
    assert asked.users == []


async def test_what_was_refused_is_not_asked_again_at_once(names: InstalledNames, asked: Asked) -> None:
    for _ in range(3):
        with pytest.raises(NameUnknown, match="ada/other cannot be reached"):
            await names.repository("ada/other")
        with pytest.raises(NameUnknown, match="GitHub knows no account nobody"):
            await names.account_id("nobody")
    assert (asked.tokens, len(asked.users)) == (["ada/other"], 1)
    asked.now += REFUSED_FOR_S
    with pytest.raises(NameUnknown):
        await names.repository("Ada/Other")
    with pytest.raises(NameUnknown):
        await names.account_id("Nobody")
    assert (len(asked.tokens), len(asked.users)) == (2, 2)


async def test_what_is_known_is_asked_for_each_time(names: InstalledNames, asked: Asked) -> None:
    for _ in range(2):
        assert (await names.repository("ada/tools")).repository_id == 11
    assert asked.tokens == ["ada/tools"] * 2
