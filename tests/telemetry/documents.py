"""The table of metrics, the rules and the dashboards, as the tests read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "zekt"
DASHBOARDS: Final = sorted((CHART / "dashboards").glob("*.json"))
RULES: Final = sorted((CHART / "rules").glob("*.yaml"))
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
_ROW: Final = re.compile(r"^\| `([a-z._]+)` \| (\w+) \| (\S+) \| ([^|]*)\| \S", re.MULTILINE)


class Documented(msgspec.Struct, frozen=True):
    """One row of the table in docs/telemetry.md."""

    name: str
    kind: str
    unit: str
    attributes: tuple[str, ...]


def documented() -> list[Documented]:
    """Return the rows in their order."""
    rows = _ROW.findall((ROOT / "docs" / "telemetry.md").read_text())
    return [
        Documented(name, kind, unit, tuple(re.findall(r"`([^`]+)`", attributes)))
        for name, kind, unit, attributes in rows
    ]


def dashboard(path: Path) -> dict[str, Any]:
    """Return a dashboard's content."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def rules() -> Iterator[dict[str, Any]]:
    """Return every rule of every group."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def expressions() -> Iterator[tuple[str, str]]:
    """Return every expression, with a name for where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]
