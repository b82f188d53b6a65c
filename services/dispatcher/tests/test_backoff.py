import pytest

from zekt_dispatcher.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [(1, 1.0, 1), (2, 1.0, 2), (5, 1.0, 16), (11, 1.0, 900), (1000, 1.0, 900), (4, 0.5, 4), (4, 0.0, 0)],
)
def test_the_range_doubles_up_to_a_quarter_of_an_hour_and_jitter_chooses_within_it(
    failures: int, jitter: float, seconds: float
) -> None:
    assert backoff(failures, jitter=jitter).total_seconds() == seconds


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_nothing_is_due_before_the_time_asked_for_nor_long_after_it(jitter: float) -> None:
    wait_s = backoff(5, jitter=jitter, not_before_s=60).total_seconds()
    assert 60 <= wait_s <= 65
