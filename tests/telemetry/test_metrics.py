"""docs/telemetry.md, the registered instruments and the code that gives them values say the same."""

from tests.telemetry.documents import Documented, documented
from tests.telemetry.recordings import BY_VARIABLE, recordings
from zekt_common.telemetry.metrics import INSTRUMENTS


def test_the_documented_table_is_what_is_registered() -> None:
    registered = [
        Documented(each.name, type(each).__name__.lower(), each.unit, each.attributes) for each in INSTRUMENTS
    ]
    assert documented() == registered


def test_every_instrument_is_registered_once() -> None:
    assert list(BY_VARIABLE.values()) == list(INSTRUMENTS)
    assert len({each.name for each in INSTRUMENTS}) == len(INSTRUMENTS)


def test_every_instrument_is_given_values_somewhere() -> None:
    assert {each.instrument for each in recordings()} == set(BY_VARIABLE)


def test_every_value_comes_with_the_attributes_that_the_table_names() -> None:
    for each in recordings():
        wanted = set(BY_VARIABLE[each.instrument].attributes)
        if each.spread:
            assert each.attributes <= wanted, each
        elif each.method != "watch_each":
            assert each.attributes == wanted, each
