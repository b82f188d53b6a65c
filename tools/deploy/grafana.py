"""Hold the named dashboards to dashboard.schema.json; exit 1 for one that Grafana would not show as it is meant."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema

SCHEMA: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("dashboard.schema.json").read_text())


def problems(path: Path) -> Iterator[str]:
    """Say what is wrong with the dashboard; of one that has not the right form, that alone."""
    try:
        dashboard = json.loads(path.read_text())
    except ValueError as error:
        yield f"{path}: {error}"
        return
    errors = list(jsonschema.Draft7Validator(SCHEMA).iter_errors(dashboard))
    yield from (f"{path}: {error.json_path}: {error.message}" for error in errors)
    if not errors:
        yield from (f"{path}: {said}" for said in _repeated(dashboard["panels"]))


def _repeated(panels: list[dict[str, Any]]) -> Iterator[str]:
    for number in _twice(panel["id"] for panel in panels):
        yield f"two panels have the id {number}"
    for panel in panels:
        for letter in _twice(target["refId"] for target in panel.get("targets", [])):
            yield f"the panel {panel['id']} has two targets {letter}"


def _twice(values: Iterable[object]) -> list[object]:
    return [value for value, times in Counter(values).items() if times > 1]


if __name__ == "__main__":
    found = [problem for name in sys.argv[1:] for problem in problems(Path(name))]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    sys.exit(bool(found))
