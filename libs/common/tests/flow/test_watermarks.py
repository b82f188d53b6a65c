from datetime import UTC, datetime, timedelta

import pytest

from zekt_common.kit.watermarks import ACTIVE_S, IDLE_INTERVAL_S, INTERVAL_S, Watermarks

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_the_watermark_is_the_minimum_over_the_feeds() -> None:
    marks = Watermarks(["a", "b"], now=0.0)
    marks.reach("a", at(5), 0.0)
    assert marks.take(0.0) is None
    marks.reach("b", at(3), 0.0)
    assert marks.take(0.0) == at(3)


def test_watermarks_keep_their_distance() -> None:
    marks = Watermarks(["a"], now=0.0)
    marks.reach("a", at(1), 0.0)
    assert marks.take(0.0) == at(1)
    assert marks.due_in_s("a", 0.05) > 0
    marks.reach("a", at(2), 0.05)
    assert marks.take(0.05) is None
    assert marks.take(INTERVAL_S) == at(2)


def test_a_watermark_that_says_nothing_new_is_not_repeated() -> None:
    marks = Watermarks(["a"], now=0.0)
    marks.reach("a", at(1), 0.0)
    marks.take(0.0)
    marks.reach("a", at(1), 1.0)
    assert marks.take(1.0) is None


def test_watermarks_grow_rare_ten_minutes_after_the_last_event() -> None:
    marks = Watermarks(["a"], now=0.0)
    later = ACTIVE_S + 1
    marks.reach("a", at(1), later)
    assert marks.due_in_s("a", later) == pytest.approx(IDLE_INTERVAL_S)
    marks.keep_active(later)
    assert marks.due_in_s("a", later) == pytest.approx(INTERVAL_S)


def test_a_restart_may_say_less_than_before() -> None:
    marks = Watermarks(["a"], now=0.0)
    marks.reach("a", at(9), 0.0)
    marks.take(0.0)
    marks.restart("a", at(2))
    assert marks.due_in_s("a", 0.0) <= 0
    assert marks.take(0.0) == at(2)
