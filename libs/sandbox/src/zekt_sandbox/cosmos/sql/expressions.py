"""Reads expressions, loosest first: OR, AND, NOT, comparisons, sums, products, then single values."""

from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.sql.evaluation import (
    OPERATIONS,
    Evaluate,
    applied,
    both,
    constant,
    either,
    inverted,
    negated,
    one_of,
    path,
)
from zekt_sandbox.cosmos.sql.functions import AGGREGATES, FUNCTIONS
from zekt_sandbox.cosmos.sql.tokens import Cursor, SqlError, Token, unquoted
from zekt_sandbox.cosmos.sql.values import COMPARISONS, UNDEFINED

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
            result = either(result, self._conjunction())
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
        return constant(_literal(token))

    def _opened(self, token: Token) -> Evaluate:
        match token.text:
            case "(":
                return self._bracketed()
            case "-":
                return negated(self.value())
            case "[":
                return self._array()
            case "{":
                return self._object()
        raise SqlError(f"Syntax error near {token.text!r}")

    def _conjunction(self) -> Evaluate:
        result = self._negation()
        while self.cursor.take_word("AND"):
            result = both(result, self._negation())
        return result

    def _negation(self) -> Evaluate:
        return inverted(self._negation()) if self.cursor.take_word("NOT") else self._comparison()

    def _comparison(self) -> Evaluate:
        left = self._sum()
        if sign := self.cursor.take_sign(*COMPARISONS):
            return applied(COMPARISONS[sign], left, self._sum())
        if self.cursor.take_word("NOT"):
            return inverted(self._membership(left))
        if self.cursor.token.text.upper() in ("IN", "BETWEEN"):
            return self._membership(left)
        return left

    def _membership(self, left: Evaluate) -> Evaluate:
        if self.cursor.take_word("IN"):
            self.cursor.need_sign("(")
            return one_of(left, self._list(")"))
        self.cursor.need_word("BETWEEN")
        low = self._sum()
        self.cursor.need_word("AND")
        at_least, at_most = COMPARISONS[">="], COMPARISONS["<="]
        return both(applied(at_least, left, low), applied(at_most, left, self._sum()))

    def _sum(self) -> Evaluate:
        result = self._product()
        while sign := self.cursor.take_sign("+", "-", "||"):
            result = applied(OPERATIONS[sign], result, self._product())
        return result

    def _product(self) -> Evaluate:
        result = self.value()
        while sign := self.cursor.take_sign("*", "/", "%"):
            result = applied(OPERATIONS[sign], result, self.value())
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
            return constant(_CONSTANTS[upper])
        if self.cursor.take_sign("("):
            return self._call(upper, first)
        self.names.add(word)
        return path(self._steps())

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
