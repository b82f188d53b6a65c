"""The chart renders for every values file and choice, Kubernetes takes what comes out, and typos are refused."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import helm_python
import kubernetes_validate.utils  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy.chart import (
    CASES,
    CHART,
    NEWEST,
    OLDEST,
    Object,
    Values,
    manifests,
    of_kind,
    rendered,
    templates,
    values_of,
    with_values,
)
from tests.deploy.chart_resources import SPECS, check_custom_resource

EVERY_CASE = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def schemas_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Kubernetes' definitions, megabytes of JSON, be parsed once and not for each object."""
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))


@pytest.mark.usefixtures("schemas_read_once")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(version: str) -> None:
    for found in _distinct(native=True):
        name = f"{found['kind']} {found['metadata']['name']}"
        assert kubernetes_validate.validate(found, version, strict=True) == version, name


def test_custom_resources_have_no_field_that_their_kind_does_not_know() -> None:
    for found in _distinct(native=False):
        check_custom_resource(found)


def _distinct(*, native: bool) -> Sequence[Object]:
    """Return the objects of all cases, each once."""
    everything = {json.dumps(found): found for case in CASES for found in rendered(case)}
    return [found for found in everything.values() if native != ((found["apiVersion"], found["kind"]) in SPECS)]


def test_the_oldest_and_newest_versions_are_those_that_the_chart_installs_on() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    after_newest = f"1.{int(NEWEST.removeprefix('1.')) + 1}"
    assert chart["kubeVersion"] == f">={OLDEST}.0-0 <{after_newest}.0-0"


def test_every_values_file_is_rendered() -> None:
    assert {name for name, _ in CASES.values()} == {path.name for path in CHART.glob("values*.yaml")}


def test_every_kind_of_custom_resource_is_rendered_somewhere() -> None:
    seen = {(found["apiVersion"], found["kind"]) for case in CASES for found in rendered(case)}
    assert set(SPECS) <= seen


@EVERY_CASE
def test_no_two_objects_share_a_name(case: str) -> None:
    names = [(found["apiVersion"], found["kind"], found["metadata"]["name"]) for found in rendered(case)]
    assert len(set(names)) == len(names)


@EVERY_CASE
def test_every_object_says_whose_it_is(case: str) -> None:
    for found in rendered(case):
        assert found["metadata"]["namespace"] == "events"
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "zekt"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@EVERY_CASE
def test_the_notes_say_what_to_do_next(case: str) -> None:
    (notes,) = templates(values_of(case), notes=True).values()
    url = values_of(case)["publicUrl"]
    for hint in ("helm -n events test zekt", f"{url}/webhooks/github", f"{url}/api/events/receive"):
        assert hint in notes
    assert ("Once it has taken over" in notes) == case.endswith("standby")
    way_in = values_of(case)["gateway"]
    leads_in = any(way_in.get(kind, {}).get("enabled") for kind in ("ingress", "httpRoute"))
    assert ("Nothing leads in yet" in notes) == (not leads_in)
    assert ("gateway.trustedProxies" in notes) == (leads_in and not way_in.get("trustedProxies"))


@pytest.mark.parametrize("case", ["default", "dev", "production", "airgapped"])
def test_helm_has_nothing_to_say_against_the_chart(case: str) -> None:
    report = helm_python.lint(CHART, values_of(case), strict=True, kube_version=f"v{NEWEST}.0")
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    "typo",
    [
        {"publicURL": "https://zekt.example.com"},
        {"backend": "cosmos"},
        {"image": {"tags": "1"}},
        {"image": {"tag": "latest"}},
        {"image": {"digests": {"ingres": f"sha256:{'0' * 64}"}}},
        {"github": {"appId": "seven"}},
        {"secrets": {"keys": {"webhookSecret": "webhook-secrets"}}},
        {"services": {"routers": {}}},
        {"services": {"router": {"replica": 2}}},
        {"services": {"router": {"autoscaling": {"by": "backlogs"}}}},
        {"services": {"dispatcher": {"settings": {"ZEKT_DISPATCHER_CONCURENCY": 64}}}},
        {"services": {"router": {"resources": {"limits": {"memroy": "1Gi"}}}}},
        {"gateway": {"ingress": {"enable": True}}},
        {"networkPolicy": {"outside": []}},
        {"telemetry": {"collector": {"enabled": "yes"}}},
        {"azure": {"blobUrl": "http://zekt.blob.core.windows.net"}},
        {"publicUrl": "http://zekt.example.com"},
    ],
    ids=str,
)
def test_a_typo_is_refused(typo: Values) -> None:
    with pytest.raises(helm_python.HelmError, match="values don't meet the specifications of the schema"):
        manifests(with_values("default", typo))


def test_every_object_of_the_values_refuses_names_that_it_does_not_know() -> None:
    with helm_python.Chart.load(CHART) as chart:
        schema = chart.schema
    open_ones = [path for path, each in _objects(schema) if "additionalProperties" not in each]
    assert open_ones == ["/properties/global"]


def _objects(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        return [found for each in schema for found in _objects(each, path)]
    if not isinstance(schema, dict):
        return []
    itself = [(path, schema)] if schema.get("type") == "object" else []
    within_list = {"items"}
    return itself + [
        found for key, each in schema.items() if key not in within_list for found in _objects(each, f"{path}/{key}")
    ]


@pytest.mark.parametrize(
    ("case", "more", "refusal"),
    [
        ("default", {"secrets": {"existing": ""}}, "set secrets.existing or secrets.keyVault.name, one of them"),
        ("production", {"secrets": {"existing": "zekt"}}, "set secrets.existing or secrets.keyVault.name"),
        ("production", {"entra": {"tenantId": ""}}, "entra.tenantId is not set"),
        ("production", {"entra": {"audience": ""}}, "entra.audience is not set"),
        ("production", {"services": {"router": {"clientId": ""}}}, "services.router.clientId is not set"),
        ("production", {"services": {"ingress": {"clientId": ""}}}, "services.ingress.clientId is not set: without"),
        ("production", {"provision": {"clientId": ""}}, "provision.clientId is not set: without"),
        ("production", {"azure": {"servicebusNamespace": ""}}, "set azure.servicebusNamespace or"),
        ("production", {"secrets": {"keys": {"blobConnection": "blob"}}}, "set azure.blobUrl or"),
        ("production", {"secrets": {"keys": {"masterKey": "key"}}}, "set azure.keyVaultUrl or"),
        ("production-by-keys", {"azure": {"cosmosKeysEndpoint": ""}}, "but azure.cosmosKeysEndpoint is not"),
        ("production", {"azure": {"cosmosEndpoint": ""}}, "azure.cosmosEndpoint is not set"),
        (
            "default",
            {"secrets": {"existing": "", "keyVault": {"name": "v-1"}}},
            "services.identity.clientId is not set",
        ),
        (
            "default",
            {"secrets": {"keys": {"cosmosKey": "key"}}},
            "cosmosKey is set, but backend is sqlite",
        ),
        ("default", {"services": {"router": {"autoscaling": {"by": "cpu"}}}}, "which lives on one node"),
        ("production", {"services": {"router": {"autoscaling": {"least": 99}}}}, "autoscaling.least is above its most"),
        ("dev", {"networkPolicy": {"gateway": []}}, "networkPolicy.gateway is empty"),
        (
            "production",
            {"telemetry": {"collector": {"passTracesTo": "http://jaeger:4318"}}},
            "networkPolicy.traces is empty",
        ),
        ("default", {"telemetry": {"otlpEndpoint": "http://collector:4318"}}, "networkPolicy.further is empty"),
        ("airgapped", {"github": {"apiUrl": ""}}, "github.apiUrl is not set"),
        ("airgapped", {"github": {"oidcIssuer": ""}}, "github.oidcIssuer is not set"),
        ("default", {"standby": True}, "standby is true, but backend is sqlite"),
        ("default", {"image": {"prefix": ""}}, "image.prefix is not set"),
        ("default", {"image": {"prefix": "zekt"}}, "image.prefix names no registry"),
        ("dev", {"image": {"pullPolicy": "IfNotPresent"}}, "image.prefix names no registry"),
        ("dev", {"gateway": {"httpRoute": {"enabled": True}}}, "gateway.httpRoute.parentRefs is empty"),
    ],
)
def test_a_contradiction_is_refused_with_what_to_do(case: str, more: Values, refusal: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        manifests(with_values(case, more))
    assert refusal in str(refused.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        manifests(with_values("default", {"backend": "azure"}))
    for name in ("azure.servicebusNamespace", "azure.blobUrl", "azure.cosmosEndpoint", "azure.keyVaultUrl", "entra."):
        assert name in str(refused.value)


def test_a_site_without_the_internet_is_asked_where_its_github_is() -> None:
    """The file of its values blocks github.com, so that what is taken for granted elsewhere would fail there unseen."""
    values = yaml.safe_load((CHART / "values-airgapped.yaml").read_text())
    with pytest.raises(helm_python.HelmError) as refused:
        manifests({**values, "publicUrl": "https://zekt.example.com", "github": {**values["github"], "appId": 1}})
    for name in ("github.apiUrl", "github.oidcIssuer", "image.prefix", "secrets.existing"):
        assert name in str(refused.value)


def test_what_is_switched_off_is_not_there() -> None:
    kinds = {found["kind"] for found in rendered("default")}
    for kind in ("Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "ScaledObject", "ServiceMonitor", "Job"):
        assert kind not in kinds
    assert not of_kind("production-open", "NetworkPolicy")
    assert not of_kind("production-open", "Job")
    assert not [name for name in of_kind("production-open", "ServiceAccount") if name.endswith("provision")]
