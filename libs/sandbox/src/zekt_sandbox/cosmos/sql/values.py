"""Values and their comparison: `UNDEFINED` spreads, and values of different types are never equal or ordered."""

import operator
from collections.abc import Callable
from typing import Any, Final


class _Undefined:
    """The value of a property that is not there."""

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = _Undefined()
_BOOL, _NUMBER, _STRING, _OBJECT = 2, 3, 4, 6
_RANKS = {_Undefined: 0, type(None): 1, bool: _BOOL, int: _NUMBER, float: _NUMBER, str: _STRING, list: 5}
_ORDERED = (_BOOL, _NUMBER, _STRING)


def type_rank(value: Any) -> int:
    """The place of the value's type in ORDER BY: undefined, null, bool, number, string, array, object."""
    return _RANKS.get(type(value), _OBJECT)


def is_number(value: Any) -> bool:
    """Whether the value is a number; booleans are not."""
    return type_rank(value) == _NUMBER


def sort_key(value: Any) -> tuple[int, Any]:
    """What ORDER BY, MIN and MAX sort by."""
    rank = type_rank(value)
    return (rank, value) if rank in _ORDERED else (rank, 0)


def equal(left: Any, right: Any) -> Any:
    """Whether both are the same value of one type."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return type_rank(left) == type_rank(right) and left == right


def unequal(left: Any, right: Any) -> Any:
    """The opposite of `equal`, where that is defined."""
    same = equal(left, right)
    return UNDEFINED if same is UNDEFINED else not same


def ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """A comparison that is undefined unless both are booleans, numbers or strings alike."""

    def compared(left: Any, right: Any) -> Any:
        rank = type_rank(left)
        return compare(left, right) if rank in _ORDERED and rank == type_rank(right) else UNDEFINED

    return compared


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": equal,
    "!=": unequal,
    "<>": unequal,
    "<": ordered(operator.lt),
    ">": ordered(operator.gt),
    "<=": ordered(operator.le),
    ">=": ordered(operator.ge),
}
