"""What an expression of PromQL refers to, and what our metrics are called there."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from tests.telemetry.documents import Documented

ADDED: Final = frozenset({"job", "instance"})
"""Labels that every series has from its resource: the service, and the process."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHED: Final = re.compile(r"\b([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_GROUPED: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]")
_BRACES: Final = re.compile(r"\{[^}]*\}")
_NAME: Final = re.compile(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()")
_WORDS: Final = frozenset({"and", "or", "unless", "by", "on", "bool", "offset"})
_SUFFIXES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def series_of(metrics: Iterable[Documented]) -> Mapping[str, frozenset[str]]:
    """Return the labels of each series that a collector makes of the metrics."""
    found: dict[str, frozenset[str]] = {}
    for metric in metrics:
        base = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        labels = ADDED | {attribute.replace(".", "_") for attribute in metric.attributes}
        for suffix in _SUFFIXES[metric.kind]:
            found[base + suffix] = labels | {"le"} if suffix == "_bucket" else labels
    return found


def metrics_in(expression: str) -> set[str]:
    """Return the names of the series that the expression selects."""
    bare = _BRACES.sub("", _RANGE.sub("", _STRING.sub("", expression)))
    return set(_NAME.findall(_GROUPED.sub("", bare))) - _WORDS


def labels_in(expression: str) -> set[str]:
    """Return the labels that the expression matches or groups by."""
    bare = _STRING.sub("", expression)
    matched = {label for braces in _BRACES.findall(bare) for label in _MATCHED.findall(braces)}
    grouped = {label.strip() for labels in _GROUPED.findall(bare) for label in labels.split(",")}
    return matched | (grouped - {""})
