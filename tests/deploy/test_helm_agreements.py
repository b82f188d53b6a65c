"""The chart says the same as the gateway, the topology and the project."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import CHART, SERVER, Object, manifests, of_kind, suite, with_values
from tests.deploy.composition import ROOT
from tests.deploy.gateway import servers
from zekt_common.contracts.topology import SUBSCRIPTIONS


def test_both_ways_in_lead_where_the_gateway_leads() -> None:
    public, _ = servers()
    wanted = {(rule.path, rule.exact, rule.backend) for rule in public.rules}
    assert _ingress_routes(of_kind("production", "Ingress")["zekt"]) == wanted
    assert _http_routes(of_kind("production-http-route", "HTTPRoute")["zekt"]) == wanted


def _ingress_routes(found: Object) -> set[tuple[str, bool, str]]:
    (rule,) = found["spec"]["rules"]
    assert rule["host"] == "zekt.example.com"
    return {
        (path["path"], path["pathType"] == "Exact", _service(path["backend"]["service"]["name"]))
        for path in rule["http"]["paths"]
    }


def _http_routes(found: Object) -> set[tuple[str, bool, str]]:
    assert found["spec"]["hostnames"] == ["zekt.example.com"]
    return {
        (match["path"]["value"], match["path"]["type"] == "Exact", _service(target["name"]))
        for rule in found["spec"]["rules"]
        for match in rule["matches"]
        for target in rule["backendRefs"]
    }


def _service(name: str) -> str:
    return name.removeprefix("zekt-")


def test_nothing_that_is_routed_to_leads_to_an_internal_port() -> None:
    services = of_kind("production", "Service")
    routed = {target for _, _, target in _ingress_routes(of_kind("production", "Ingress")["zekt"])}
    for service in routed:
        (port,) = services[f"zekt-{service}"]["spec"]["ports"]
        assert port["targetPort"] == "http"
    internal = [name for name, each in services.items() if each["spec"]["ports"][0]["targetPort"] == "internal"]
    assert internal == ["zekt-identity-internal"]


def test_the_chart_knows_the_subscriptions_of_the_topology() -> None:
    in_chart = {(topic, service) for service, facts in suite()["services"].items() for topic in facts["consumes"]}
    assert in_chart == {(subscription.topic, subscription.name) for subscription in SUBSCRIPTIONS}


def test_a_service_scales_on_all_its_subscriptions_and_no_others() -> None:
    scaled = of_kind("production", "ScaledObject")
    assert set(scaled) == {"zekt-router", "zekt-dispatcher"}
    for name, found in scaled.items():
        watched = {
            (trigger["metadata"]["topicName"], trigger["metadata"]["subscriptionName"])
            for trigger in found["spec"]["triggers"]
            if trigger["type"] == "azure-servicebus"
        }
        assert watched == {(each.topic, each.name) for each in SUBSCRIPTIONS if each.name == _service(name)}


def test_a_namespace_of_another_cloud_is_found_by_its_suffix() -> None:
    for case, told in (
        ("production", {"namespace": "zekt-events"}),
        (
            "production-in-china",
            {"namespace": "zekt", "cloud": "Private", "endpointSuffix": "servicebus.chinacloudapi.cn"},
        ),
        ("production-by-keys", {}),
    ):
        trigger = of_kind(case, "ScaledObject")["zekt-router"]["spec"]["triggers"][0]["metadata"]
        own = {key: value for key, value in trigger.items() if key in ("namespace", "cloud", "endpointSuffix")}
        assert own == told


@pytest.mark.parametrize("path", sorted(CHART.glob("values-*.yaml")), ids=lambda path: path.name)
def test_what_a_file_of_values_says_of_the_readme_is_in_it(path: Path) -> None:
    readme = (CHART / "README.md").read_text()
    if "README.md shows" in path.read_text():
        assert f"--values deploy/helm/zekt/{path.name}" in readme


def test_the_site_that_the_readme_shows_without_the_internet_is_one_that_the_chart_takes() -> None:
    _, _, after = (CHART / "README.md").read_text().partition("## Without the internet")
    shown = yaml.safe_load(after.partition("```yaml")[2].partition("```")[0])
    assert set(SERVER["github"]) < set(shown["github"])
    assert manifests(with_values("airgapped", shown))


def test_the_upgrade_that_the_page_tells_of_is_that_of_the_chart_and_of_the_test() -> None:
    """Helm replaces all services at once, so the page may ask for no order."""
    page = " ".join((ROOT / "docs" / "upgrade.md").read_text().split())
    tested = (ROOT / "tests" / "upgrade" / "test_rolling_upgrade.py").read_text()
    order = re.findall(r"^ORDER = \((.*)\)$", tested, re.MULTILINE)[0].replace('"', "")
    assert f"The order that is tested is **{order}**." in page
    assert "one after the other or all at once. `helm upgrade` does the latter" in page
    assert not [found for found in of_kind("production", "Deployment").values() if "annotations" in found["metadata"]]


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    assert chart["version"] == chart["appVersion"]
