from typing import Any

import pytest

from zekt_router.message_schema import schema_problem, violation


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}, "uses pattern"),
        ({"patternProperties": {"^a": {}}}, "uses patternProperties"),
        ({"$ref": "https://example.org/other"}, "only references to #/\\$defs"),
        ({"properties": {"a": {"$ref": "#"}}}, "only references to #/\\$defs"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "in a circle"),
        ({"allOf": [{"$ref": "#/$defs/a"}] * 17, "$defs": {"a": {}}}, "more than 16 references"),
    ],
)
def test_a_schema_that_could_hold_up_the_router_is_refused(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        assert schema_problem(schema) is None


@pytest.mark.parametrize("levels", [200, 900])
def test_a_schema_that_is_nested_too_deeply_to_check_is_refused(levels: int) -> None:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    assert schema_problem(schema) == "is nested too deeply to check"


def test_a_property_may_be_called_pattern() -> None:
    schema = {"properties": {"pattern": {"const": "x"}}, "default": {"pattern": "("}}
    assert schema_problem(schema) is None
    assert violation(schema, {"pattern": "y"}) is not None


def test_definitions_may_build_on_each_other() -> None:
    schema = {
        "$defs": {"name": {"type": "string"}, "person": {"properties": {"name": {"$ref": "#/$defs/name"}}}},
        "$ref": "#/$defs/person",
    }
    assert schema_problem(schema) is None
    assert violation(schema, {"name": 1}) is not None
    assert violation(schema, {"name": "a"}) is None


def test_a_violation_is_told_in_few_words_however_long_the_names_in_the_message_are() -> None:
    schema = {"additionalProperties": {"type": "object"}}
    told = violation(schema, {"x" * 100_000: 1})
    assert told is not None
    assert told.startswith("at $.xxx")
    assert len(told) < 500
