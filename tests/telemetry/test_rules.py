"""Rules and dashboards refer to metrics that exist, and whoever an alert wakes finds out what to do."""

import re
from collections.abc import Mapping

import pytest

from tests.telemetry.documents import ROOT, RUNBOOKS, documented, expressions, rules
from tests.telemetry.promql import labels_in, metrics_in, series_of

EXPRESSIONS = sorted(set(expressions()))
ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
OBJECTIVES = re.compile(r"^\| .* \| `([a-z-]+)` \| [\d.]+ % \| ([\d.]+) % \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def series() -> Mapping[str, frozenset[str]]:
    """What can be asked for, with its labels."""
    return {**series_of(documented()), **dict.fromkeys(RECORDED, frozenset({"slo"}))}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_refers_to_what_exists(where: str, expression: str, series: Mapping[str, frozenset[str]]) -> None:
    names = metrics_in(expression)
    assert names or expression.startswith("vector("), where
    assert names <= set(series), where
    assert labels_in(expression) <= set().union(*(series[name] for name in names)), where


@pytest.mark.parametrize(
    ("expression", "names", "labels"),
    [
        ('sum by (topic) (rate(made_up_total{outcome="x"}[5m])) > 3', {"made_up_total"}, {"topic", "outcome"}),
        ("a_b / on (slo) zekt:c:ratio_rate5m and d", {"a_b", "zekt:c:ratio_rate5m", "d"}, {"slo"}),
        ('absent(gone{x=~"by (y)"}) or vector(0)', {"gone"}, {"x"}),
    ],
)
def test_what_an_expression_refers_to_is_found(expression: str, names: set[str], labels: set[str]) -> None:
    assert (metrics_in(expression), labels_in(expression)) == (names, labels)


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    linked = {rule["annotations"]["runbook"]: rule["alert"] for rule in ALERTS}
    assert len(linked) == len(ALERTS)
    assert {ROOT / page for page in linked} == set(RUNBOOKS.glob("*.md"))
    for page, alert in linked.items():
        assert (ROOT / page).read_text().startswith(f"# {alert}\n")


def test_an_alert_says_what_happens_and_whom_it_wakes() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_labels_that_an_alert_quotes_are_left_over_in_its_expression() -> None:
    for rule in ALERTS:
        quoted = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert quoted <= labels_in(rule["expr"]), rule["alert"]


def test_the_budgets_are_those_of_the_documented_objectives() -> None:
    stated = OBJECTIVES.findall((ROOT / "docs" / "slo.md").read_text())
    budgets = {
        rule["labels"]["slo"]: float(rule["expr"].removeprefix("vector(").removesuffix(")"))
        for rule in rules()
        if rule.get("record") == "zekt:slo_budget:ratio"
    }
    assert budgets == {slo: pytest.approx(float(percent) / 100) for slo, percent in stated}


def test_every_objective_is_recorded_over_every_window_that_is_asked_for() -> None:
    asked = {name for _, expression in EXPRESSIONS for name in metrics_in(expression) if "ratio_rate" in name}
    for slo in {rule["labels"]["slo"] for rule in rules() if "record" in rule}:
        recorded = {rule["record"] for rule in rules() if rule.get("labels", {}).get("slo") == slo}
        assert asked <= recorded, slo


def test_a_recording_looks_at_the_window_that_its_name_says() -> None:
    for rule in rules():
        if (found := re.fullmatch(r"zekt:slo_errors:ratio_rate(\w+)", rule.get("record", ""))) is not None:
            assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {found[1]}, rule["record"]
