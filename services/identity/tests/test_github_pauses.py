"""When GitHub is left alone about people: each asked pause for its person, a failure for everybody."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, RateLimited
from zekt_identity.github_pauses import GitHubPauses


class Pauses:
    """Pauses on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pauses = GitHubPauses(lambda: self.now, max_kept=2)

    def call(self, account_id: int, outcome: Exception | None = None) -> None:
        with self.pauses.calling(account_id):
            if outcome is not None:
                raise outcome

    @contextmanager
    def refused(self, after_s: float | None) -> Iterator[None]:
        with pytest.raises(GitHubUnavailable) as unavailable:
            yield
        assert unavailable.value.pause_s == after_s


def test_a_person_whom_github_asks_to_wait_waits_and_nobody_else_does() -> None:
    seen = Pauses()
    with seen.refused(30):
        seen.call(1, RateLimited("limited", pause_s=30))
    seen.now += 10
    with seen.refused(20):
        seen.call(1)
    seen.call(2)
    seen.now += 20
    seen.call(1)


def test_while_github_fails_it_is_left_alone_about_everybody() -> None:
    seen = Pauses()
    for account_id in range(3):
        with seen.refused(None):
            seen.call(account_id, GitHubUnavailable("down"))
    with seen.refused(1):
        seen.call(9)
    seen.now += 1
    seen.call(9)
    seen.call(1)


def test_an_outage_that_asks_for_a_pause_is_no_single_persons() -> None:
    seen = Pauses()
    with seen.refused(30):
        seen.call(1, GitHubUnavailable("GitHub answered 503", pause_s=30))
    seen.now += 10
    for account_id in (1, 2):
        with seen.refused(20):
            seen.call(account_id)
    seen.now += 20
    seen.call(2)
    seen.call(1)


def test_an_outage_is_no_shorter_for_asking_for_no_pause_at_all() -> None:
    seen = Pauses()
    for account_id in range(3):
        with seen.refused(0):
            seen.call(account_id, GitHubUnavailable("GitHub answered 503", pause_s=0))
    with seen.refused(1):
        seen.call(9)


def test_a_persons_limit_ends_no_outage_and_begins_none() -> None:
    seen = Pauses()
    for account_id in range(10, 15):
        with seen.refused(30):
            seen.call(account_id, RateLimited("limited", pause_s=30))
    seen.call(1)


def test_a_refusal_is_an_answer() -> None:
    seen = Pauses()
    for _ in range(5):
        with pytest.raises(GitHubRefused):
            seen.call(1, GitHubRefused("not_found", "no"))
    seen.call(1)


def test_of_too_many_pauses_the_oldest_is_forgotten() -> None:
    seen = Pauses()
    for account_id in (1, 2, 3):
        with seen.refused(30):
            seen.call(account_id, RateLimited("limited", pause_s=30))
    seen.call(1)
    with seen.refused(30):
        seen.call(3)
