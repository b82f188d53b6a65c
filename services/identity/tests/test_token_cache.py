import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, IssuedToken, Owner, Repository, classify
from zekt_identity.scopes import ById, Scope
from zekt_identity.tokens import CONCURRENT_FETCHES, TokenCache

START = datetime(2026, 5, 1, tzinfo=UTC)


class GitHub:
    """Issues numbered tokens for an hour, or fails as told."""

    def __init__(self) -> None:
        self.now = START
        self.calls = 0
        self.called = asyncio.Event()
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cache = TokenCache(self.issue, clock=lambda: self.now, monotonic=self._seconds, max_kept=3)

    async def issue(self, scope: Scope) -> tuple[int, IssuedToken]:
        self.calls += 1
        self.called.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        assert isinstance(scope, ById)
        repositories = [Repository(one, Owner(7)) for one in scope.repository_ids]
        token = IssuedToken(f"t{self.calls}", self.now + timedelta(hours=1), repositories)
        return scope.installation_id, token

    def _seconds(self) -> float:
        return self.now.timestamp()

    def after(self, **passed: float) -> None:
        self.now += timedelta(**passed)


def scope(number: int = 1) -> ById:
    return ById(72, (number,), (("contents", "write"),))


async def test_a_token_is_renewed_five_minutes_before_its_end() -> None:
    github = GitHub()
    first = await github.cache.look_up(scope())
    github.after(minutes=54, seconds=59)
    assert await github.cache.look_up(scope()) == first
    github.after(seconds=1)
    assert (await github.cache.look_up(scope())).token == "t2"


async def test_while_github_is_down_a_token_serves_until_its_last_minute() -> None:
    github = GitHub()
    first = await github.cache.look_up(scope())
    github.failure = GitHubUnavailable("down")
    github.after(minutes=58)
    assert await github.cache.look_up(scope()) == first
    github.after(minutes=1)
    with pytest.raises(GitHubUnavailable):
        await github.cache.look_up(scope())


async def test_the_least_recently_used_token_makes_room() -> None:
    github = GitHub()
    for number in (1, 2, 3, 1, 4):
        await github.cache.look_up(scope(number))
    assert github.calls == 4
    await github.cache.look_up(scope(1))
    assert github.calls == 4
    await github.cache.look_up(scope(2))
    assert github.calls == 5


async def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    github = GitHub()
    github.gate.clear()
    impatient, patient = (asyncio.create_task(github.cache.look_up(scope())) for _ in range(2))
    await github.called.wait()
    impatient.cancel()
    github.gate.set()
    assert (await patient).token == "t1"
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_refusal_is_not_remembered() -> None:
    github = GitHub()
    github.failure = GitHubRefused("installation_not_found", "Not Found")
    with pytest.raises(GitHubRefused):
        await github.cache.look_up(scope())
    github.failure = None
    assert (await github.cache.look_up(scope())).token == "t2"


async def test_after_three_failures_one_call_at_a_time_tries_again() -> None:
    github = GitHub()
    github.failure = GitHubUnavailable("down")
    for number in range(5):
        with pytest.raises(GitHubUnavailable):
            await github.cache.look_up(scope(number))
    assert github.calls == 3
    github.after(seconds=1)
    github.gate.clear()
    tries = [asyncio.create_task(github.cache.look_up(scope(number))) for number in range(10)]
    done, _ = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), github.calls) == (9, 4)
    github.failure = None
    github.gate.set()
    await asyncio.wait(tries)
    assert sum(task.exception() is None for task in tries) == 1
    assert (await github.cache.look_up(scope(77))).repository_ids == [77]


async def test_of_a_crowd_that_waits_for_its_turn_none_calls_once_github_is_known_to_fail() -> None:
    github = GitHub()
    github.failure = GitHubUnavailable("down")
    github.gate.clear()
    crowd = [asyncio.create_task(github.cache.look_up(scope(number))) for number in range(1_000)]
    while github.calls < CONCURRENT_FETCHES:  # noqa: ASYNC110 - each takes its turn
        await asyncio.sleep(0)
    github.gate.set()
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(outcome, GitHubUnavailable) for outcome in outcomes)
    assert github.calls == CONCURRENT_FETCHES


async def test_a_failure_that_asks_for_no_pause_is_a_failure() -> None:
    github = GitHub()
    github.failure = GitHubUnavailable("GitHub answered 503", pause_s=0)
    for number in range(5):
        with pytest.raises(GitHubUnavailable):
            await github.cache.look_up(scope(number))
    assert github.calls == 3


async def test_a_token_for_other_repositories_is_never_given_out() -> None:
    async def issue(_scope: Scope) -> tuple[int, IssuedToken]:
        return 72, IssuedToken("wide", START + timedelta(hours=1), [])

    with pytest.raises(GitHubUnavailable, match="other repositories"):
        await TokenCache(issue, clock=lambda: START).look_up(scope())


@pytest.mark.parametrize(
    ("status", "message", "headers", "outcome"),
    [
        (401, "A JSON web token could not be decoded", {}, "app_credentials_refused"),
        (404, "Integration not found", {}, "app_credentials_refused"),
        (404, "Not Found", {}, "installation_not_found"),
        (403, "This installation has been suspended", {}, "installation_suspended"),
        (422, "The permissions requested are not granted to this installation.", {}, "permission_not_granted"),
        (422, "There is at least one repository that does not exist", {}, "repository_not_in_installation"),
        (403, "Resource not accessible by integration", {}, "github_refused"),
        (403, "You have exceeded a secondary rate limit", {}, 60.0),
        (403, "API rate limit exceeded", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, 30.0),
        (403, "odd", {"retry-after": "12"}, 12.0),
        (429, "Too many", {"retry-after": "soon"}, 60.0),
        (429, "Too many", {"retry-after": "999999"}, 3600.0),
        (500, "Server Error", {}, None),
        (503, "Unavailable", {"retry-after": "7"}, 7.0),
        (302, "Found", {}, None),
    ],
)
def test_every_answer_of_github_has_a_meaning(
    status: int, message: str, headers: dict[str, str], outcome: str | float | None
) -> None:
    error = classify(status, message, headers, 1000.0)
    if isinstance(outcome, str):
        assert isinstance(error, GitHubRefused)
        assert error.code == outcome
    else:
        assert isinstance(error, GitHubUnavailable)
        assert error.pause_s == outcome
