"""`make check` refuses a dashboard that Grafana would not show, whatever tools are installed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.telemetry.documents import DASHBOARDS, ROOT
from tools.deploy.grafana import problems

Spoil = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_dashboard_has_the_form_that_grafana_takes(path: Path) -> None:
    assert list(problems(path)) == []


def _panel(dashboard: dict[str, Any]) -> dict[str, Any]:
    return next(panel for panel in dashboard["panels"] if panel["type"] != "row")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: found.pop("uid"), "'uid' is a required property"),
        (lambda found: found.update(pannels=[]), "'pannels' was unexpected"),
        (lambda found: _panel(found).update(type="graph"), "'graph' is not one of"),
        (lambda found: _panel(found).pop("targets"), "'targets' is a required property"),
        (lambda found: _panel(found)["gridPos"].update(w=25), "25 is greater than the maximum of 24"),
        (lambda found: _panel(found)["targets"][0].pop("expr"), "'expr' is a required property"),
        (lambda found: _panel(found)["targets"].append(_panel(found)["targets"][0]), "has two targets A"),
        (lambda found: found["panels"].append(found["panels"][0]), "two panels have the id 1"),
    ],
)
def test_what_grafana_would_not_show_is_named(spoil: Spoil, said: str, tmp_path: Path) -> None:
    dashboard = json.loads(DASHBOARDS[0].read_text())
    spoil(dashboard)
    (tmp_path / "spoilt.json").write_text(json.dumps(dashboard))
    (problem,) = problems(tmp_path / "spoilt.json")
    assert said in problem


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"uid": ')
    assert len(list(problems(tmp_path / "cut.json"))) == 1


def test_dashboards_are_looked_at_whatever_tools_are_installed() -> None:
    script = (ROOT / "tools" / "deploy" / "check").read_text()
    before, _, _ = script.partition("if test -x")
    assert re.search(
        r"^\.venv/bin/python tools/deploy/grafana\.py deploy/helm/zekt/dashboards/\*\.json$", before, re.MULTILINE
    )
