"""When tokens are kept, renewed and given up; what acquires them is a thread that the test holds or lets go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from zekt_common.auth.entra_tokens import AcquiredToken, EntraTokens
from zekt_common.auth.service_tokens import ServiceTokenUnavailable

LIFE_S = 3600.0


@dataclass
class Acquisition:
    """Numbers its tokens; fails as told, and waits in its thread while it is held."""

    life_s: float = LIFE_S
    failure: ServiceTokenUnavailable | None = None
    count: int = 0
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> AcquiredToken:
        self.count += 1
        number = self.count
        assert self.may_go_on.wait(30)
        if self.failure is not None:
            raise self.failure
        return AcquiredToken(f"token-{number}", self.life_s)


@pytest.fixture
async def acquisition() -> AsyncIterator[Acquisition]:
    made = Acquisition()
    made.may_go_on.set()
    yield made
    made.may_go_on.set()


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture
def tokens(acquisition: Acquisition, now: list[float]) -> EntraTokens:
    return EntraTokens(acquisition, monotonic=lambda: now[0])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a thread announces itself to nobody
            await asyncio.sleep(0.002)


async def becomes(tokens: EntraTokens, expected: str) -> None:
    async with asyncio.timeout(30):
        while await tokens.token() != expected:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.002)


async def test_many_who_ask_at_once_share_one_acquisition(acquisition: Acquisition, tokens: EntraTokens) -> None:
    acquisition.may_go_on.clear()
    asking = [asyncio.create_task(tokens.token()) for _ in range(1000)]
    await until(lambda: acquisition.count == 1)
    acquisition.may_go_on.set()
    assert set(await asyncio.gather(*asking)) == {"token-1"}
    assert acquisition.count == 1


async def test_a_token_is_kept_until_five_minutes_before_its_end(
    acquisition: Acquisition, tokens: EntraTokens, now: list[float]
) -> None:
    assert await tokens.token() == "token-1"
    now[0] += LIFE_S - 300
    assert await tokens.token() == "token-1"
    assert acquisition.count == 1


async def test_it_is_renewed_while_the_old_one_still_serves(
    acquisition: Acquisition, tokens: EntraTokens, now: list[float]
) -> None:
    await tokens.token()
    acquisition.may_go_on.clear()
    now[0] += LIFE_S - 299
    assert await tokens.token() == "token-1"
    await until(lambda: acquisition.count == 2)
    assert await tokens.token() == "token-1"
    acquisition.may_go_on.set()
    await becomes(tokens, "token-2")
    assert acquisition.count == 2


async def test_the_old_one_serves_to_its_last_minute_when_renewal_fails(
    acquisition: Acquisition, tokens: EntraTokens, now: list[float]
) -> None:
    await tokens.token()
    acquisition.failure = ServiceTokenUnavailable("cannot be reached", retry_after_s=5)
    now[0] += LIFE_S - 61
    assert await tokens.token() == "token-1"
    await until(lambda: acquisition.count == 2)
    now[0] += 2
    with pytest.raises(ServiceTokenUnavailable, match="cannot be reached"):
        await tokens.token()


async def test_after_a_failure_entra_id_is_left_alone_for_as_long_as_it_says(
    acquisition: Acquisition, tokens: EntraTokens, now: list[float]
) -> None:
    acquisition.failure = ServiceTokenUnavailable("see ZEKT_ENTRA_CLIENT_SECRET", retry_after_s=60)
    for waited_s, left_s in ((0, 60), (45, 15), (14, 1)):
        now[0] += waited_s
        with pytest.raises(ServiceTokenUnavailable, match="see ZEKT_ENTRA_CLIENT_SECRET") as unavailable:
            await tokens.token()
        assert unavailable.value.retry_after_s == left_s
    assert acquisition.count == 1
    acquisition.failure = None
    now[0] += 1
    assert await tokens.token() == "token-2"


async def test_nobody_waits_long_for_a_slow_entra_id(acquisition: Acquisition, now: list[float]) -> None:
    acquisition.may_go_on.clear()
    tokens = EntraTokens(acquisition, monotonic=lambda: now[0], wait_s=0.01)
    for _ in range(2):
        with pytest.raises(ServiceTokenUnavailable, match="slow") as unavailable:
            await tokens.token()
    assert (unavailable.value.retry_after_s, acquisition.count) == (5, 1)
    acquisition.may_go_on.set()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await tokens.token() == "token-1"
            except ServiceTokenUnavailable:
                continue
            break


async def test_who_gives_up_does_not_take_the_token_from_the_others(
    acquisition: Acquisition, tokens: EntraTokens
) -> None:
    acquisition.may_go_on.clear()
    impatient, patient = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await until(lambda: acquisition.count == 1)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    acquisition.may_go_on.set()
    assert await patient == "token-1"


async def test_a_token_that_hardly_lives_is_of_no_use(acquisition: Acquisition, tokens: EntraTokens) -> None:
    acquisition.life_s = 30
    for _ in range(3):
        with pytest.raises(ServiceTokenUnavailable, match="hardly lives"):
            await tokens.token()
    assert acquisition.count == 1


def test_a_token_is_never_shown_by_its_repr() -> None:
    assert "token-1" not in repr(AcquiredToken("token-1", 1))
