"""Rules that a located value is checked against; every violation is reported, each at its own place."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from zekt_cli.catalog.located import Located, Problem

Rule = Callable[[Located], Iterator[Problem]]
_SHOWN = 60


def text(*, pattern: str = r".+", wanted: str = "text", max_length: int = 1000) -> Rule:
    """Expect text that matches `pattern` in full; `wanted` names it to people."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(found: Located) -> Iterator[Problem]:
        if found.kind != "text":
            yield found.problem(f"expected {wanted}, found {_article(found.kind)}: quote it if it is meant as text")
        elif not compiled.fullmatch(found.value) or len(found.value) > max_length:
            yield found.problem(f"expected {wanted}, found {_quoted(found.value)}")

    return check


def one_of(*choices: str) -> Rule:
    """Expect one of these words."""

    def check(found: Located) -> Iterator[Problem]:
        if found.kind != "text" or found.value not in choices:
            yield found.problem(f"expected one of {', '.join(choices)}, found {_shown(found)}{_hint(found, choices)}")

    return check


def integer(minimum: int, maximum: int) -> Rule:
    """Expect a whole number within the bounds."""

    def check(found: Located) -> Iterator[Problem]:
        if type(found.value) is not int or not minimum <= found.value <= maximum:
            yield found.problem(f"expected a whole number from {minimum} to {maximum}, found {_shown(found)}")

    return check


def number(minimum: float, maximum: float) -> Rule:
    """Expect a number within the bounds."""

    def check(found: Located) -> Iterator[Problem]:
        if found.kind != "number" or not minimum <= found.value <= maximum:
            yield found.problem(f"expected a number from {minimum:g} to {maximum:g}, found {_shown(found)}")

    return check


def flag(found: Located) -> Iterator[Problem]:
    """Expect true or false."""
    if found.kind != "true or false":
        yield found.problem(f"expected true or false, found {_shown(found)}")


def any_mapping(found: Located) -> Iterator[Problem]:
    """Expect a mapping of anything that JSON can hold."""
    if found.kind != "mapping":
        yield found.problem(f"expected a mapping, found {_shown(found)}")


def list_of(rule: Rule) -> Rule:
    """Expect a list whose items follow `rule`."""

    def check(found: Located) -> Iterator[Problem]:
        if found.kind != "list":
            yield found.problem(f"expected a list, found {_shown(found)}")
            return
        for item in found.value:
            yield from rule(item)

    return check


@dataclass(frozen=True)
class Fields:
    """Expect a mapping with all of `required`, any of `optional` and nothing else."""

    required: Mapping[str, Rule]
    optional: Mapping[str, Rule] = field(default_factory=dict)

    def __call__(self, found: Located) -> Iterator[Problem]:
        """Yield what is wrong with `found`."""
        if found.kind != "mapping":
            yield found.problem(f"expected a mapping, found {_shown(found)}")
            return
        known = {**self.required, **self.optional}
        for member in found.value:
            rule = known.get(member.key.value)
            if rule is None:
                yield member.key.problem(f"unknown key {_quoted(member.key.value)}{_hint(member.key, known)}")
            else:
                yield from rule(member.value)
        present = {member.key.value for member in found.value}
        for name in self.required.keys() - present:
            yield found.problem(f"the key {name!r} is missing")


def _shown(found: Located) -> str:
    match found.kind:
        case "text":
            return _quoted(found.value)
        case "number":
            return str(found.value)
        case _:
            return _article(found.kind)


def _article(kind: str) -> str:
    return {"null": "nothing", "true or false": "true or false"}.get(kind, f"a {kind}")


def _quoted(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")


def _hint(found: Located, choices: Mapping[str, Rule] | tuple[str, ...]) -> str:
    close = get_close_matches(str(found.value), list(choices), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
