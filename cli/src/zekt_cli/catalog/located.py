"""YAML as values that remember their line and column."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

MAX_FILE_BYTES: Final = 5 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000
_PREFIX = "tag:yaml.org,2002:"
_TRUE = ("true", "True", "TRUE")


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong at one place of the file; lines and columns count from 1."""

    line: int
    column: int
    message: str


class InvalidFile(Exception):
    """The file is no valid catalog; `problems` names everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problem(s)")
        self.problems = sorted(problems)


@dataclass(frozen=True)
class Member:
    """One `key: value` of a mapping."""

    key: "Located"
    value: "Located"


@dataclass(frozen=True)
class Located:
    """A value and where it starts; `kind` is its JSON type's name."""

    kind: str
    value: Any
    line: int
    column: int

    def problem(self, message: str) -> Problem:
        """Return a problem at this place."""
        return Problem(self.line, self.column, message)

    def plain(self) -> Any:
        """Return the value as plain JSON types."""
        if self.kind == "mapping":
            return {member.key.value: member.value.plain() for member in self.value}
        if self.kind == "list":
            return [item.plain() for item in self.value]
        return self.value


def read(path: Path) -> Located:
    """Return the file's one document.

    Raises:
        InvalidFile: it is no YAML, holds a type that JSON lacks, or is too large.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidFile([Problem(1, 1, f"the file is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")])
    return parse(path.read_bytes())


def parse(text: bytes) -> Located:
    """Return the one document in `text`.

    Raises:
        InvalidFile: as `read`.
    """
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except (ReaderError, MarkedYAMLError, YAMLError) as error:
        raise InvalidFile([_syntax_problem(error)]) from error
    if root is None:
        raise InvalidFile([Problem(1, 1, "the file is empty")])
    return _Reader().located(root, depth=0)


def _syntax_problem(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "no valid YAML"
    return Problem(mark.line + 1, mark.column + 1, f"no valid YAML: {said}") if mark else Problem(1, 1, str(said))


class _Reader:
    """Turns the node graph into a tree; aliases are followed, within bounds."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def located(self, node: Node, *, depth: int) -> Located:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise InvalidFile([Problem(line, column, "nested too deeply, or too much in one file")])
        if not isinstance(node, ScalarNode) and not str(node.tag).startswith(_PREFIX):
            raise InvalidFile([Problem(line, column, f"the tag {node.tag} has no place in a catalog")])
        if isinstance(node, MappingNode):
            return Located("mapping", list(self._members(node, depth)), line, column)
        if isinstance(node, SequenceNode):
            items = [self.located(item, depth=depth + 1) for item in node.value]
            return Located("list", items, line, column)
        return _scalar(str(node.value), str(node.tag), line, column)

    def _members(self, node: MappingNode, depth: int) -> Iterator[Member]:
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            key = self.located(key_node, depth=depth + 1)
            if key.kind != "text":
                raise InvalidFile([key.problem("a key must be text: quote it")])
            if key.value in seen:
                raise InvalidFile([key.problem(f"the key {key.value!r} occurs twice")])
            seen.add(key.value)
            yield Member(key, self.located(value_node, depth=depth + 1))


def _scalar(text: str, tag: str, line: int, column: int) -> Located:
    match tag.removeprefix(_PREFIX):
        case "str" | "merge":
            return Located("text", text, line, column)
        case "null":
            return Located("null", None, line, column)
        case "bool":
            return Located("true or false", text in _TRUE, line, column)
        case "int" | "float":
            return Located("number", _number(text, line, column), line, column)
        case "timestamp":
            return Located("date", text, line, column)
        case _:
            raise InvalidFile([Problem(line, column, f"the tag {tag} has no place in a catalog")])


def _number(text: str, line: int, column: int) -> int | float:
    digits = text.replace("_", "")
    readings: tuple[Callable[[str], int | float], ...] = (int, lambda value: int(value, 0), float)
    for reading in readings:
        with contextlib.suppress(ValueError):
            number = reading(digits)
            if math.isfinite(number):
                return number
    raise InvalidFile([Problem(line, column, f"{text} is no number that JSON can hold")])
