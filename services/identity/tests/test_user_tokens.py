"""People's tokens for services: given to those with the role, renewed by one for all, stored before they are used."""

import asyncio
from typing import Any

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.contracts.identity import TOKENS_INSTALLATION, TOKENS_USER
from zekt_identity.audit import TokenGiven

from .conftest import Answer, Running, until

TOKEN_CALL = "/login/oauth/access_token"


async def asked(identity: Running, account_id: int = 4_242, role: str = TOKENS_USER, **changes: Any) -> Answer:
    headers = {"Authorization": f"Bearer {identity.issuer.mint(service='router', roles=[role])}"}
    body = {"account_id": account_id, "purpose": "list repositories"} | changes
    url = f"{identity.hosted.internal_url}/internal/tokens/user"
    async with identity.http.post(url, json=body, headers=headers) as response:
        return Answer(response.status, dict(response.headers), await response.json())


def hours_later(identity: Running, hours: float) -> None:
    identity.clock.advance(hours=hours)
    identity.sandbox.advance_clock(hours * 3600)


async def works(identity: Running, token: str) -> bool:
    async with identity.http.get(
        f"{identity.sandbox.url}/user", headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        return answer.status == 200


async def test_a_service_gets_the_token_of_who_signed_in_and_it_is_noted(identity: Running) -> None:
    await identity.browser().sign_in()
    answer = await asked(identity)
    assert (answer.status, answer.body["login"], answer.headers["Cache-Control"]) == (200, "octocat", "no-store")
    assert await works(identity, answer.body["token"])
    [given] = await identity.events(TokenGiven)
    assert (given.kind, given.actor, given.purpose, given.account_id) == ("user", "router", "list repositories", 4_242)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"role": TOKENS_INSTALLATION}, (403, "role_missing")),
        ({"account_id": 4_243}, (404, "sign_in_needed")),
        ({"account_id": "4242 or 1=1"}, (400, "invalid_request")),
        ({"scope": "admin"}, (400, "invalid_request")),
    ],
)
async def test_nobody_gets_what_is_not_theirs_to_ask(
    identity: Running, changes: dict[str, Any], told: tuple[int, str]
) -> None:
    await identity.browser().sign_in()
    assert (await asked(identity, **changes)).told == told
    assert await identity.events(TokenGiven) == []
    if told[0] != 400:
        assert ("POST /internal/tokens/user", told[1], 0) in await identity.refusals()


async def test_a_thousand_who_ask_share_one_renewal_and_the_old_pair_is_gone(identity: Running) -> None:
    await identity.browser().sign_in()
    before = (await asked(identity)).body["token"]
    hours_later(identity, 7.95)
    calls = identity.sandbox.add_fault("slow", path=TOKEN_CALL, count=None, delay_s=0.3)
    answers = await asyncio.gather(*(asked(identity) for _ in range(1_000)))
    tokens = {answer.body["token"] for answer in answers}
    assert (len(tokens), calls.taken) == (1, 1)
    identity.sandbox.clear_faults()
    assert before not in tokens
    assert await works(identity, tokens.pop())
    assert not await works(identity, before)
    hours_later(identity, 7.95)
    assert (await asked(identity)).status == 200, "the new refresh token was stored"


async def test_a_renewal_that_github_does_not_answer_is_tried_again_with_the_same_pair(identity: Running) -> None:
    await identity.browser().sign_in()
    hours_later(identity, 7.95)
    identity.sandbox.add_fault("secondary", path=TOKEN_CALL, retry_after_s=1)
    answer = await asked(identity)
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "github_unavailable"), "1")

    async def is_renewed() -> bool:
        return (await asked(identity)).status == 200

    await until(is_renewed)


async def test_a_pair_that_github_has_revoked_means_signing_in_again(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    await identity.sandbox.revoke_authorization("octocat")
    hours_later(identity, 7.95)
    assert (await asked(identity)).told == (404, "sign_in_needed")
    async with open_backend(identity.data_dir, "identity") as backend:
        assert await backend.views.get("user-tokens", "4242") is None
    await browser.sign_in()
    assert (await asked(identity)).status == 200


async def test_after_leaving_there_is_no_token(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    token = (await asked(identity)).body["token"]
    assert (await browser.call("DELETE", "/api/account")).status == 204
    assert (await asked(identity)).told == (404, "sign_in_needed")
    assert not await works(identity, token), "the grant was taken back at GitHub"
