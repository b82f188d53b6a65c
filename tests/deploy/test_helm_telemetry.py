"""Dashboards and rules reach the cluster as they are written, and Prometheus finds what the services measure."""

import json
from copy import deepcopy

import pytest
import yaml

from tests.deploy.chart import CASES, CHART, Object, component, of_kind, pods
from tests.deploy.composition import ROOT, SERVICES

MEASURED = pytest.mark.parametrize("case", [case for case in CASES if case.startswith("production")])


@MEASURED
def test_every_dashboard_is_in_a_config_map_that_grafana_looks_for(case: str) -> None:
    shipped = {
        name: json.loads(text)
        for found in of_kind(case, "ConfigMap").values()
        if found["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in found["data"].items()
    }
    assert shipped == {path.name: json.loads(path.read_text()) for path in (CHART / "dashboards").glob("*.json")}
    assert shipped


def test_where_nothing_runs_nobody_is_called_because_nothing_is_heard() -> None:
    assert not of_kind("production-standby", "PrometheusRule")


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("production") and "standby" not in case])
def test_every_rule_is_in_the_cluster(case: str) -> None:
    (shipped,) = of_kind(case, "PrometheusRule").values()
    written = [yaml.safe_load(path.read_text())["groups"] for path in sorted((CHART / "rules").glob("*.yaml"))]
    assert _unlinked(shipped["spec"]["groups"]) == [group for groups in written for group in groups]


def _unlinked(groups: list[Object]) -> list[Object]:
    """Return the groups as they are written, without the links that a site's values make."""
    found = deepcopy(groups)
    for rule in (rule for group in found for rule in group["rules"]):
        rule.get("annotations", {}).pop("runbook_url", None)
    return found


def test_an_alert_links_to_its_page_where_the_site_says_that_pages_are() -> None:
    (linked,) = of_kind("production-by-digest", "PrometheusRule").values()
    alerts = [rule["annotations"] for group in linked["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for said in alerts:
        page = said["runbook"].removeprefix("docs/runbooks/")
        assert (ROOT / "docs" / "runbooks" / page).exists()
        assert said["runbook_url"] == f"https://wiki.example.com/zekt/runbooks/{page}"
    assert "runbook_url" not in str(of_kind("production", "PrometheusRule"))


@MEASURED
def test_services_send_their_metrics_where_prometheus_looks(case: str) -> None:
    collector = of_kind(case, "Service")["zekt-collector"]
    ports = {port["name"]: port["port"] for port in collector["spec"]["ports"]}
    for service in SERVICES:
        settings = of_kind(case, "ConfigMap")[f"zekt-{service}"]["data"]
        assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://zekt-collector:{ports['otlp']}"
    (monitor,) = of_kind(case, "ServiceMonitor").values()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= collector["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == ["metrics"]
    assert "metrics" in ports


def test_the_collector_names_metrics_as_the_one_that_the_rules_were_written_for() -> None:
    (found,) = [each for name, each in of_kind("production", "ConfigMap").items() if name == "zekt-collector"]
    in_cluster = yaml.safe_load(found["data"]["collector.yaml"])["exporters"]["prometheus"]
    on_one_machine = yaml.safe_load((ROOT / "deploy" / "observability" / "collector.yaml").read_text())
    own = on_one_machine["exporters"]["prometheus"]
    assert {**in_cluster, "endpoint": ""} == {**own, "endpoint": ""}


def test_traces_are_sent_only_where_somebody_takes_them() -> None:
    for case, exporter in (("production", "none"), ("production-http-route", "otlp")):
        settings = of_kind(case, "ConfigMap")["zekt-ingress"]["data"]
        assert settings["OTEL_TRACES_EXPORTER"] == exporter
        config = yaml.safe_load(of_kind(case, "ConfigMap")["zekt-collector"]["data"]["collector.yaml"])
        assert ("traces" in config["service"]["pipelines"]) == (exporter == "otlp")


def test_there_is_one_collector_since_several_would_each_show_a_part() -> None:
    (collector,) = [each for each in of_kind("production", "Deployment").values() if component(each) == "collector"]
    assert collector["spec"]["replicas"] == 1
    assert collector["spec"]["strategy"] == {"type": "Recreate"}  # nor two while one takes the other's place
    assert "zekt-collector" not in pods("default")
