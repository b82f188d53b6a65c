"""Expressions, compiled to closures: OR, AND, NOT, comparisons, sums, products, then single values."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.sql.functions import AGGREGATES, FUNCTIONS
from zekt_sandbox.cosmos.sql.tokens import Cursor, SqlError, Token, unquoted
from zekt_sandbox.cosmos.sql.values import COMPARISONS, UNDEFINED, equal, is_number


@dataclass(frozen=True, slots=True)
class Context:
    """What an expression needs beside the item: parameters by name, and aggregates once they are known."""

    parameters: Mapping[str, Any]
    aggregates: Sequence[Any] = ()


Evaluate = Callable[[Any, Context], Any]
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A call of an aggregate and the tokens it spans."""

    name: str
    argument: Evaluate
    first: int
    last: int


class ExpressionParser:
    """Compiles the expressions at a cursor; collects the aggregates they call and the names they start from."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.aggregates: list[Aggregate] = []
        self.names: set[str] = set()

    def expression(self) -> Evaluate:
        """A whole expression.

        Raises:
            SqlError: there is none at the cursor.
        """
        result = self._conjunction()
        while self.cursor.take_word("OR"):
            result = _either(result, self._conjunction())
        return result

    def value(self) -> Evaluate:
        """A single value: a literal, parameter, path, call, array, object or bracketed expression.

        Raises:
            SqlError: there is none at the cursor.
        """
        first = self.cursor.position
        token = self.cursor.take()
        match token.kind:
            case "sign":
                return self._opened(token)
            case "parameter":
                return lambda _, context: context.parameters.get(token.text, UNDEFINED)
            case "word":
                return self._named(token.text, first)
        return _constant(_literal(token))

    def _opened(self, token: Token) -> Evaluate:
        match token.text:
            case "(":
                return self._bracketed()
            case "-":
                return _negated(self.value())
            case "[":
                return self._array()
            case "{":
                return self._object()
        raise SqlError(f"Syntax error near {token.text!r}")

    def _conjunction(self) -> Evaluate:
        result = self._negation()
        while self.cursor.take_word("AND"):
            result = _both(result, self._negation())
        return result

    def _negation(self) -> Evaluate:
        return _inverted(self._negation()) if self.cursor.take_word("NOT") else self._comparison()

    def _comparison(self) -> Evaluate:
        left = self._sum()
        if sign := self.cursor.take_sign(*COMPARISONS):
            return _applied(COMPARISONS[sign], left, self._sum())
        if self.cursor.take_word("NOT"):
            return _inverted(self._membership(left))
        if self.cursor.token.text.upper() in ("IN", "BETWEEN"):
            return self._membership(left)
        return left

    def _membership(self, left: Evaluate) -> Evaluate:
        if self.cursor.take_word("IN"):
            self.cursor.need_sign("(")
            return _one_of(left, self._list(")"))
        self.cursor.need_word("BETWEEN")
        low = self._sum()
        self.cursor.need_word("AND")
        at_least, at_most = COMPARISONS[">="], COMPARISONS["<="]
        return _both(_applied(at_least, left, low), _applied(at_most, left, self._sum()))

    def _sum(self) -> Evaluate:
        result = self._product()
        while sign := self.cursor.take_sign("+", "-", "||"):
            result = _applied(_OPERATIONS[sign], result, self._product())
        return result

    def _product(self) -> Evaluate:
        result = self.value()
        while sign := self.cursor.take_sign("*", "/", "%"):
            result = _applied(_OPERATIONS[sign], result, self.value())
        return result

    def _bracketed(self) -> Evaluate:
        inner = self.expression()
        self.cursor.need_sign(")")
        return inner

    def _array(self) -> Evaluate:
        parts = self._list("]")
        return lambda item, context: [value for part in parts if (value := part(item, context)) is not UNDEFINED]

    def _object(self) -> Evaluate:
        parts: list[tuple[str, Evaluate]] = []
        while not self.cursor.take_sign("}"):
            token = self.cursor.take()
            self.cursor.need_sign(":")
            parts.append((unquoted(token.text) if token.kind == "string" else token.text, self.expression()))
            self.cursor.take_sign(",")
        return lambda item, context: {
            name: value for name, part in parts if (value := part(item, context)) is not UNDEFINED
        }

    def _list(self, closing: str) -> list[Evaluate]:
        parts: list[Evaluate] = []
        while not self.cursor.take_sign(closing):
            parts.append(self.expression())
            if not self.cursor.take_sign(","):
                self.cursor.need_sign(closing)
                break
        return parts

    def _named(self, word: str, first: int) -> Evaluate:
        upper = word.upper()
        if upper in _CONSTANTS:
            return _constant(_CONSTANTS[upper])
        if self.cursor.take_sign("("):
            return self._call(upper, first)
        self.names.add(word)
        return _path(self._steps())

    def _call(self, name: str, first: int) -> Evaluate:
        arguments = self._list(")")
        if name in AGGREGATES and len(arguments) == 1:
            index = len(self.aggregates)
            self.aggregates.append(Aggregate(name, arguments[0], first, self.cursor.position))
            return lambda _, context: context.aggregates[index]
        function = FUNCTIONS.get(name)
        if function is None:
            raise SqlError(f"'{name}' is not a recognized built-in function name.")
        return lambda item, context: function(*[argument(item, context) for argument in arguments])

    def _steps(self) -> list[str | int]:
        steps: list[str | int] = []
        while sign := self.cursor.take_sign(".", "["):
            token = self.cursor.take()
            if sign == ".":
                steps.append(token.text)
            else:
                steps.append(_literal(token))
                self.cursor.need_sign("]")
        return steps


def _literal(token: Token) -> Any:
    if token.kind == "string":
        return unquoted(token.text)
    if token.kind == "number":
        return int(token.text) if token.text.isdigit() else float(token.text)
    raise SqlError(f"Syntax error near {token.text!r}")


def _constant(value: Any) -> Evaluate:
    return lambda _item, _context: value


def _path(steps: list[str | int]) -> Evaluate:
    match steps:
        case [str(name)]:
            return lambda item, _: item.get(name, UNDEFINED)

    def walk(item: Any, _context: Context) -> Any:
        for step in steps:
            item = _stepped(item, step)
        return item

    return walk


def _stepped(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step, UNDEFINED)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return UNDEFINED


def _applied(operation: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda item, context: operation(left(item, context), right(item, context))


def _both(left: Evaluate, right: Evaluate) -> Evaluate:
    def both(item: Any, context: Context) -> Any:
        first = left(item, context)
        if first is False:
            return False
        second = right(item, context)
        if second is False:
            return False
        return True if first is True and second is True else UNDEFINED

    return both


def _either(left: Evaluate, right: Evaluate) -> Evaluate:
    def either(item: Any, context: Context) -> Any:
        first = left(item, context)
        if first is True:
            return True
        second = right(item, context)
        if second is True:
            return True
        return False if first is False and second is False else UNDEFINED

    return either


def _inverted(inner: Evaluate) -> Evaluate:
    def inverted(item: Any, context: Context) -> Any:
        value = inner(item, context)
        return not value if isinstance(value, bool) else UNDEFINED

    return inverted


def _negated(inner: Evaluate) -> Evaluate:
    def negated(item: Any, context: Context) -> Any:
        value = inner(item, context)
        return -value if is_number(value) else UNDEFINED

    return negated


def _one_of(left: Evaluate, parts: list[Evaluate]) -> Evaluate:
    def one_of(item: Any, context: Context) -> Any:
        value = left(item, context)
        if value is UNDEFINED:
            return UNDEFINED
        return any(equal(value, part(item, context)) is True for part in parts)

    return one_of


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        try:
            return operation(left, right) if is_number(left) and is_number(right) else UNDEFINED
        except (ArithmeticError, ValueError):
            return UNDEFINED

    return calculated


def _concatenated(left: Any, right: Any) -> Any:
    return left + right if isinstance(left, str) and isinstance(right, str) else UNDEFINED


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(math.fmod),
    "||": _concatenated,
}
