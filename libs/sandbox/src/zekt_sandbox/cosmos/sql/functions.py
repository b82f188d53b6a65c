"""The built-in functions and aggregates that queries may call."""

from collections.abc import Callable
from typing import Any

from zekt_sandbox.cosmos.sql.values import UNDEFINED, equal, is_number, sort_key


def _of_strings(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any) -> Any:
        return function(*arguments) if all(isinstance(given, str) for given in arguments) else UNDEFINED

    return called


def _array_contains(array: Any, value: Any) -> Any:
    return any(equal(held, value) is True for held in array) if isinstance(array, list) else UNDEFINED


def _array_length(array: Any) -> Any:
    return len(array) if isinstance(array, list) else UNDEFINED


def _is_defined(value: Any) -> bool:
    return value is not UNDEFINED


def _is_null(value: Any) -> bool:
    return value is None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "STARTSWITH": _of_strings(str.startswith),
    "ENDSWITH": _of_strings(str.endswith),
    "CONTAINS": _of_strings(str.__contains__),
    "LOWER": _of_strings(str.lower),
    "UPPER": _of_strings(str.upper),
    "LENGTH": _of_strings(len),
    "IS_DEFINED": _is_defined,
    "IS_NULL": _is_null,
    "IS_BOOL": lambda value: isinstance(value, bool),
    "IS_NUMBER": is_number,
    "IS_STRING": lambda value: isinstance(value, str),
    "IS_ARRAY": lambda value: isinstance(value, list),
    "ARRAY_CONTAINS": _array_contains,
    "ARRAY_LENGTH": _array_length,
}


def _sum(values: list[Any]) -> Any:
    return sum(values) if all(map(is_number, values)) else UNDEFINED


def _max(values: list[Any]) -> Any:
    return max(values, key=sort_key, default=UNDEFINED)


def _min(values: list[Any]) -> Any:
    return min(values, key=sort_key, default=UNDEFINED)


AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {"COUNT": len, "MAX": _max, "MIN": _min, "SUM": _sum}
"""Over the values that are defined."""
