"""Every call in the code that gives an instrument a value."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.telemetry.documents import ROOT
from zekt_common.telemetry import metrics
from zekt_common.telemetry.instruments import Counter, Gauge, Histogram, Instrument

BY_VARIABLE: Final[Mapping[str, Instrument]] = {
    name: instrument
    for name, instrument in vars(metrics).items()
    if isinstance(instrument, Counter | Gauge | Histogram)
}
_RECORDING: Final = ("add", "record", "watch", "watch_each")


class Recording(msgspec.Struct, frozen=True):
    """One call; `attributes` are the ones it names, and `spread` tells that it passes on others, held in a mapping."""

    instrument: str
    method: str
    attributes: frozenset[str]
    spread: bool


def recordings() -> Iterator[Recording]:
    """Return the calls in the services and in what they share."""
    for source in (*(ROOT / "services").glob("*/src/**/*.py"), *(ROOT / "libs" / "common" / "src").rglob("*.py")):
        yield from _recordings_in(source)


def _recordings_in(source: Path) -> Iterator[Recording]:
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if (
                name in BY_VARIABLE and method in _RECORDING
            ):
                named = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
                yield Recording(name, method, named, any(keyword.arg is None for keyword in node.keywords))
