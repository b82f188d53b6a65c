import asyncio
import hashlib
from datetime import datetime, timedelta

import pytest

from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest
from zekt_common.kit.identity_client import TokensUnavailable
from zekt_dispatcher.tokens import DispatchTokens


class Identity:
    """Identity's door: makes a token an hour long for whoever asks, once it is let."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.asked: list[InstallationTokenRequest] = []
        self.open = asyncio.Event()
        self.open.set()
        self.down = False

    async def token(self, request: InstallationTokenRequest, /) -> InstallationToken:
        self.asked.append(request)
        await self.open.wait()
        if self.down:
            raise TokensUnavailable("identity is down", retry_after_s=5)
        return InstallationToken(
            token=f"ghs_{len(self.asked)}",
            expires_at=self.now + timedelta(hours=1),
            installation_id=request.installation_id or 0,
            account_id=1,
            repository_ids=request.repository_ids,
        )


@pytest.fixture
async def identity(noon: datetime) -> Identity:
    return Identity(noon)


@pytest.fixture
def tokens(identity: Identity) -> DispatchTokens:
    return DispatchTokens(identity, clock=lambda: identity.now)


async def test_a_token_is_of_one_repository_and_may_dispatch_only(tokens: DispatchTokens, identity: Identity) -> None:
    await tokens.token(55, 200)
    assert identity.asked == [
        InstallationTokenRequest(
            installation_id=55, repository_ids=[200], permissions={"contents": "write"}, purpose="dispatch"
        )
    ]


async def test_many_who_ask_at_once_share_one_look_up(tokens: DispatchTokens, identity: Identity) -> None:
    identity.open.clear()
    asking = [asyncio.create_task(tokens.token(55, 200)) for _ in range(50)]
    await asyncio.sleep(0)
    identity.open.set()
    assert set(await asyncio.gather(*asking)) == {"ghs_1"}
    assert await tokens.token(55, 200) == "ghs_1"
    assert len(identity.asked) == 1


async def test_one_who_gives_up_does_not_end_the_look_up_of_others(tokens: DispatchTokens, identity: Identity) -> None:
    identity.open.clear()
    first, second = (asyncio.create_task(tokens.token(55, 200)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    identity.open.set()
    assert await second == "ghs_1"
    assert first.cancelled()


async def test_a_token_is_replaced_two_minutes_before_it_expires(tokens: DispatchTokens, identity: Identity) -> None:
    await tokens.token(55, 200)
    identity.now += timedelta(minutes=57)
    assert await tokens.token(55, 200) == "ghs_1"
    identity.now += timedelta(minutes=1)
    assert await tokens.token(55, 200) == "ghs_2"


async def test_a_rejected_token_is_named_to_identity_and_replaced(tokens: DispatchTokens, identity: Identity) -> None:
    token = await tokens.token(55, 200)
    tokens.reject(55, 200, token)
    tokens.reject(55, 200, token)
    assert await tokens.token(55, 200) == "ghs_2"
    assert identity.asked[-1].rejected_sha256 == hashlib.sha256(token.encode()).hexdigest()
    tokens.reject(55, 200, token)
    assert await tokens.token(55, 200) == "ghs_2", "an old token's rejection is no news"


async def test_a_failed_look_up_is_not_remembered(tokens: DispatchTokens, identity: Identity) -> None:
    identity.down = True
    with pytest.raises(TokensUnavailable):
        await tokens.token(55, 200)
    identity.down = False
    assert await tokens.token(55, 200) == "ghs_2"
