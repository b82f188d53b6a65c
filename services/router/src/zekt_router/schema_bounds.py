"""What keeps judging one message cheap: a schema of one tenant must never hold up the others.

Regular expressions can backtrack for ever, and references can multiply, or recurse once per level of the message.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

MAX_REFERENCES = 16
_DEFINITION = "#/$defs/"
_REGULAR_EXPRESSIONS = ("pattern", "patternProperties")
_REFERENCES = ("$ref", "$dynamicRef")
_NAMED_SCHEMAS = ("properties", "$defs", "dependentSchemas")
_VALUES = ("enum", "const", "default", "examples")
_MAX_SHOWN = 200


def unbounded(schema: dict[str, Any]) -> str | None:
    """Return why judging a message by this valid schema could take for ever, or None."""
    nodes = list(_subschemas(schema))
    used = next((word for node in nodes for word in _REGULAR_EXPRESSIONS if word in node), None)
    if used is not None:
        return f"uses {used}, whose regular expressions can take for ever: use enum, const or maxLength"
    references = [reference for node in nodes for reference in _references(node)]
    foreign = next((reference for reference in references if not reference.startswith(_DEFINITION)), None)
    if foreign is not None:
        return f"refers to {foreign[:_MAX_SHOWN]}; only references to {_DEFINITION}... are followed"
    if len(references) > MAX_REFERENCES:
        return f"has more than {MAX_REFERENCES} references, which can multiply: write the parts in place"
    return _recursion(schema.get("$defs", {}))


def _recursion(definitions: dict[str, Any]) -> str | None:
    graph = {
        f"{_DEFINITION}{name}": {reference for node in _subschemas(definition) for reference in _references(node)}
        for name, definition in definitions.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return "has definitions that refer to each other in a circle: write the levels that you need"
    return None


def _references(node: dict[str, Any]) -> list[str]:
    return [node[word] for word in _REFERENCES if isinstance(node.get(word), str)]


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and every schema in it; a property that happens to be called `pattern` is a name, no keyword."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            yield node
            for word, value in node.items():
                if word in _NAMED_SCHEMAS and isinstance(value, dict):
                    waiting += value.values()
                elif word not in _VALUES:
                    waiting.append(value)
