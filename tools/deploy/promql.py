"""Parse every PromQL expression in the named rule files and dashboards; exit 1 for one that Prometheus refuses."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import yaml

INTERVAL = "$__rate_interval"


def expressions(path: Path) -> Iterator[str]:
    """Return the expressions of a rule file or a Grafana dashboard."""
    if path.suffix == ".json":
        panels = json.loads(path.read_text())["panels"]
        return (target["expr"].replace(INTERVAL, "5m") for panel in panels for target in panel.get("targets", ()))
    return (rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"])


def problems(path: Path) -> Iterator[str]:
    """Say what is wrong with the file's expressions."""
    for expression in expressions(path):
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            yield f"{path}: {error}: {expression}"


if __name__ == "__main__":
    found = [problem for name in sys.argv[1:] for problem in problems(Path(name))]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    sys.exit(bool(found))
