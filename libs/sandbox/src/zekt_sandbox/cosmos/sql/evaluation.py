"""What expressions compile to: functions of an item and a context that answer a value or `UNDEFINED`."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.sql.values import UNDEFINED, equal, is_number


@dataclass(frozen=True, slots=True)
class Context:
    """What an expression needs beside the item: parameters by name, and aggregates once they are known."""

    parameters: Mapping[str, Any]
    aggregates: Sequence[Any] = ()


Evaluate = Callable[[Any, Context], Any]


def constant(value: Any) -> Evaluate:
    """The same value for every item."""
    return lambda _item, _context: value


def path(steps: list[str | int]) -> Evaluate:
    """A property, reached from the item step by step; undefined where a step leads nowhere."""
    match steps:
        case [str(name)]:
            return lambda item, _: item.get(name, UNDEFINED)

    def evaluate(item: Any, _context: Context) -> Any:
        for step in steps:
            item = _stepped(item, step)
        return item

    return evaluate


def _stepped(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step, UNDEFINED)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return UNDEFINED


def applied(operation: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    """An operation on two operands."""
    return lambda item, context: operation(left(item, context), right(item, context))


def both(left: Evaluate, right: Evaluate) -> Evaluate:
    """AND: false if either is, true if both are, else undefined."""

    def evaluate(item: Any, context: Context) -> Any:
        first = left(item, context)
        if first is False:
            return False
        second = right(item, context)
        if second is False:
            return False
        return True if first is True and second is True else UNDEFINED

    return evaluate


def either(left: Evaluate, right: Evaluate) -> Evaluate:
    """OR: true if either is, false if both are, else undefined."""

    def evaluate(item: Any, context: Context) -> Any:
        first = left(item, context)
        if first is True:
            return True
        second = right(item, context)
        if second is True:
            return True
        return False if first is False and second is False else UNDEFINED

    return evaluate


def inverted(inner: Evaluate) -> Evaluate:
    """NOT, of booleans only."""

    def evaluate(item: Any, context: Context) -> Any:
        value = inner(item, context)
        return not value if isinstance(value, bool) else UNDEFINED

    return evaluate


def negated(inner: Evaluate) -> Evaluate:
    """A number with its sign changed."""

    def evaluate(item: Any, context: Context) -> Any:
        value = inner(item, context)
        return -value if is_number(value) else UNDEFINED

    return evaluate


def one_of(left: Evaluate, parts: list[Evaluate]) -> Evaluate:
    """IN: whether the value equals any of these."""

    def evaluate(item: Any, context: Context) -> Any:
        value = left(item, context)
        if value is UNDEFINED:
            return UNDEFINED
        return any(equal(value, part(item, context)) is True for part in parts)

    return evaluate


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        try:
            return operation(left, right) if is_number(left) and is_number(right) else UNDEFINED
        except (ArithmeticError, ValueError):
            return UNDEFINED

    return calculated


def _concatenated(left: Any, right: Any) -> Any:
    return left + right if isinstance(left, str) and isinstance(right, str) else UNDEFINED


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(math.fmod),
    "||": _concatenated,
}
