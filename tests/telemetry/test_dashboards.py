"""Dashboards are what Grafana takes, and people can tell what they show."""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.telemetry.documents import DASHBOARDS, dashboard

EACH = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
COLUMNS = 24


def panels(path: Path) -> Iterator[dict[str, Any]]:
    yield from dashboard(path)["panels"]


def test_there_are_dashboards() -> None:
    assert DASHBOARDS


def test_a_dashboard_keeps_an_address_of_its_own() -> None:
    uids = [dashboard(path)["uid"] for path in DASHBOARDS]
    assert uids == [f"zekt-{path.stem}" for path in DASHBOARDS]
    assert all(re.fullmatch(r"[a-z-]{1,40}", uid) for uid in uids)


@EACH
def test_a_dashboard_asks_the_data_source_that_its_reader_chose(path: Path) -> None:
    (variable,) = dashboard(path)["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in panels(path):
        for asked in (panel, *panel.get("targets", ())):
            assert panel["type"] == "row" or asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EACH
def test_every_panel_says_what_it_shows_in_which_unit(path: Path) -> None:
    for panel in panels(path):
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert all(target["legendFormat"] for target in panel["targets"])


@EACH
def test_panels_have_ids_of_their_own_and_lie_side_by_side(path: Path) -> None:
    found = list(panels(path))
    assert len({panel["id"] for panel in found}) == len(found)
    assert not any(_overlap(one["gridPos"], other["gridPos"]) for one, other in combinations(found, 2))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS for panel in found)


@EACH
def test_nobody_changes_a_dashboard_in_grafana_where_it_would_be_lost(path: Path) -> None:
    content = dashboard(path)
    assert content["editable"] is False
    assert "id" not in content


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
