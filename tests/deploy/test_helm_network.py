"""Who reaches whom in the cluster, worked out from the chart's network policies as Kubernetes would."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from tests.deploy.chart import CASES, Object, manifests, of_kind, pods, suite, with_values
from tests.deploy.composition import SERVICES

CLOSED = pytest.mark.parametrize("case", [case for case in CASES if case != "production-open"])
HTTP, INTERNAL = 8080, 8079
Labels = Mapping[str, str]


class Network:
    """The policies of a case."""

    def __init__(self, case: str) -> None:
        self._policies = of_kind(case, "NetworkPolicy").values()
        self._pods: dict[str, Labels] = {
            pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"]
            for pod in pods(case).values()
        }

    def lets_in(self, to: str, port: int, caller: Object) -> bool:
        """Say whether the caller, a peer as `pod_of` and `any_pod_in` make it, may call this part."""
        return any(_allows(rule, "from", port, caller) for rule in self._rules(to, "Ingress"))

    def lets_out(self, part: str, port: int, target: Object) -> bool:
        """Say whether this part may call the target, a peer as `pod_of` and `address` make it."""
        return any(_allows(rule, "to", port, target) for rule in self._rules(part, "Egress"))

    def pod_of(self, part: str) -> Object:
        """Return a pod of this release as a peer."""
        return {"podSelector": self._pods[part]}

    def connects(self, caller: str, to: str, port: int) -> bool:
        """Say whether both ends let one part of the suite call another."""
        out = self.lets_out(caller, port, self.pod_of(to))
        return out and self.lets_in(to, port, self.pod_of(caller))

    @property
    def parts(self) -> Collection[str]:
        """Every part that has pods."""
        return self._pods

    def _rules(self, part: str, direction: str) -> list[Object]:
        """Return all rules for a part's pods; they have to be closed in this direction by some policy."""
        chosen = [
            policy["spec"]
            for policy in self._policies
            if direction in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], self._pods[part])
        ]
        assert chosen, f"nothing closes {part}"
        return [rule for spec in chosen for rule in spec.get(direction.lower()) or []]


def any_pod_in(namespace: str) -> Object:
    """Return a pod of another namespace as a peer."""
    return {"namespaceSelector": {"kubernetes.io/metadata.name": namespace}}


def address(cidr: str) -> Object:
    """Return addresses outside the cluster as a peer."""
    return {"ipBlock": cidr}


def _allows(rule: Object, side: str, port: int, peer: Object) -> bool:
    return port in {each["port"] for each in rule["ports"]} and any(_is_peer(named, peer) for named in rule[side])


def _is_peer(named: Object, peer: Object) -> bool:
    ((kind, what),) = peer.items()
    if kind == "ipBlock":
        return "ipBlock" in named and named["ipBlock"]["cidr"] == what
    return set(named) == {kind} and _selects(named[kind], what)


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    among = all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
    return wanted and among


EVERYWHERE = address("0.0.0.0/0")


@CLOSED
def test_every_pod_is_closed_in_both_directions(case: str) -> None:
    network = Network(case)
    for part in network.parts:
        assert not network.lets_in(part, 22, any_pod_in("default"))
        assert not network.lets_out(part, 22, EVERYWHERE)


@CLOSED
def test_the_gateway_reaches_what_is_public_and_no_internal_port(case: str) -> None:
    network = Network(case)
    for service, facts in suite()["services"].items():
        is_public = any(facts["public"].values())
        assert network.lets_in(service, HTTP, any_pod_in("ingress-nginx")) == is_public
        assert not network.lets_in(service, INTERNAL, any_pod_in("ingress-nginx"))


@CLOSED
def test_nobody_else_reaches_a_service(case: str) -> None:
    network = Network(case)
    for service in SERVICES:
        for port in (HTTP, INTERNAL):
            assert not network.lets_in(service, port, any_pod_in("default"))


@CLOSED
def test_the_services_reach_identitys_internal_port_and_no_other(case: str) -> None:
    network = Network(case)
    reached = {
        (caller, service, port)
        for caller in network.parts
        for service in SERVICES
        for port in (HTTP, INTERNAL)
        if network.connects(caller, service, port)
    }
    look_ups = {(caller, "identity", INTERNAL) for caller in ("ingress", "router", "dispatcher")}
    assert reached == look_ups | {("ping", "ingress", HTTP)}


@CLOSED
def test_services_reach_github_and_those_on_azure_its_services(case: str) -> None:
    network = Network(case)
    outside = "10.0.0.0/8" if case == "airgapped" else "0.0.0.0/0"
    for service in SERVICES:
        assert network.lets_out(service, 443, address(outside))
        assert network.lets_out(service, 5671, address(outside)) == case.startswith("production")
        assert not network.lets_out(service, 80, address(outside))


@pytest.mark.parametrize("case", ["production", "production-by-keys", "production-http-route"])
def test_what_provisioning_may_reach_is_there_before_it_also_where_nothing_was_provisioned_so_far(case: str) -> None:
    """A cluster that stood by, or that ran on one volume, closes all pods and has no policy of this one yet."""
    (job,) = of_kind(case, "Job").values()
    policy = of_kind(case, "NetworkPolicy")[job["metadata"]["name"]]
    annotations = policy["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == job["metadata"]["annotations"]["helm.sh/hook"]
    assert int(annotations["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    network = Network(case)
    for port in (443, 5671):
        assert network.lets_out("provision", port, EVERYWHERE)
    assert not network.lets_out("provision", HTTP, EVERYWHERE)
    (dns,) = of_kind(case, "NetworkPolicy")["zekt-default-deny"]["spec"]["egress"]
    assert dns in policy["spec"]["egress"]


def test_a_site_without_the_internet_lets_nothing_out_to_it() -> None:
    network = Network("airgapped")
    for part in network.parts:
        assert not network.lets_out(part, 443, EVERYWHERE)


def test_metadata_of_the_cloud_is_out_of_reach() -> None:
    blocks = [
        peer["ipBlock"]
        for policy in of_kind("production", "NetworkPolicy").values()
        for rule in policy["spec"].get("egress") or []
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert blocks
    assert all(block["except"] == ["169.254.0.0/16"] for block in blocks)


def test_the_collector_takes_telemetry_from_the_suite_and_shows_it_to_prometheus() -> None:
    network = Network("production")
    assert {part for part in network.parts if network.connects(part, "collector", 4318)} == set(SERVICES)
    assert network.lets_in("collector", 9464, any_pod_in("monitoring"))
    assert not network.lets_in("collector", 9464, any_pod_in("default"))


def test_the_collector_reaches_whom_it_passes_traces_to_and_nobody_else() -> None:
    jaeger = {"podSelector": {"app": "jaeger"}}
    assert Network("production-http-route").lets_out("collector", 4318, jaeger)
    assert not Network("production-http-route").lets_out("collector", 443, EVERYWHERE)
    assert not Network("production").lets_out("collector", 4318, jaeger)


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://traces.example.com", 443), ("http://traces.example.com/v1", 80), ("http://10.0.0.1:4318/v1", 4318)],
)
def test_the_port_that_traces_leave_by_is_that_of_their_address(url: str, port: int) -> None:
    said = with_values("production-http-route", {"telemetry": {"collector": {"passTracesTo": url}}})
    (policy,) = [
        found
        for found in manifests(said)
        if found["kind"] == "NetworkPolicy" and found["metadata"]["name"] == "zekt-collector"
    ]
    assert policy["spec"]["egress"][0]["ports"] == [{"port": port, "protocol": "TCP"}]


def test_services_send_telemetry_out_by_https_without_more_words() -> None:
    assert manifests(with_values("default", {"telemetry": {"otlpEndpoint": "https://otlp.example.com"}}))
