"""Pods of the chart may do nothing but their work, and come and go without a request being lost."""

import re
from collections.abc import Iterator

import pytest

from tests.deploy.chart import CASES, Object, component, of_kind, pods, rendered
from tests.deploy.composition import DOCKER, ROOT, SERVICES
from zekt_common.kit.host import CLOSED_WITHIN_S, DRAINED_WITHIN_S, REQUESTS_END_WITHIN_S

EVERY_CASE = pytest.mark.parametrize("case", CASES)
ON_AZURE = pytest.mark.parametrize("case", [case for case in CASES if case.startswith("production")])
ON_ONE_VOLUME = pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("production")])


def containers(case: str) -> Iterator[tuple[str, Object]]:
    for name, pod in pods(case).items():
        for container in pod["spec"]["containers"]:
            yield name, container


def deployed(case: str) -> dict[str, Object]:
    """Return the Deployments of the services by service."""
    found = of_kind(case, "Deployment").values()
    return {component(each): each for each in found if component(each) in SERVICES}


@EVERY_CASE
def test_every_service_is_deployed_with_an_account_settings_and_a_service_of_its_own(case: str) -> None:
    assert set(deployed(case)) == set(SERVICES)
    for deployment in deployed(case).values():
        name = deployment["metadata"]["name"]
        pod = deployment["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == name
        assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": name}}]
        for kind in ("ServiceAccount", "ConfigMap", "Service"):
            assert name in of_kind(case, kind)


@EVERY_CASE
def test_every_pod_is_of_the_restricted_kind(case: str) -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    for pod in pods(case).values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert [(str(security["runAsUser"]), str(security["runAsGroup"]))] == user
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            assert field not in pod["spec"]
    for _, container in containers(case):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }


@EVERY_CASE
def test_nothing_is_mounted_but_kinds_that_the_restricted_standard_allows(case: str) -> None:
    allowed = {"configMap", "csi", "emptyDir", "persistentVolumeClaim", "secret"}
    for pod in pods(case).values():
        assert {kind for volume in pod["spec"].get("volumes", []) for kind in volume if kind != "name"} <= allowed


@EVERY_CASE
def test_no_pod_can_speak_to_the_cluster(case: str) -> None:
    for pod in pods(case).values():
        assert pod["spec"]["automountServiceAccountToken"] is False
    for account in of_kind(case, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


@EVERY_CASE
def test_names_of_services_are_not_taken_for_settings(case: str) -> None:
    """Kubernetes would set ZEKT_INGRESS_PORT and the like in every pod."""
    for pod in pods(case).values():
        assert pod["spec"]["enableServiceLinks"] is False


@EVERY_CASE
def test_every_container_has_bounds(case: str) -> None:
    for name, container in containers(case):
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}, name


@EVERY_CASE
def test_an_image_is_never_whatever_is_latest(case: str) -> None:
    for _, container in containers(case):
        assert re.search(r"(:[0-9][0-9.]*|@sha256:[0-9a-f]{64})$", container["image"])


@EVERY_CASE
def test_all_pods_run_what_make_images_builds(case: str) -> None:
    built = re.findall(r"^images: \$\(addprefix image-,([a-z ]+)\)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    images = built[0].split()
    for name, container in containers(case):
        if component(pods(case)[name]) != "collector":
            assert re.split(r"[:@]", container["image"].rpartition("/")[2])[0] in images


@EVERY_CASE
def test_probes_ask_where_the_service_answers_them(case: str) -> None:
    for deployment in deployed(case).values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": 8080, "internal": 8079}
        asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert asked == {
            "startupProbe": {"path": "/live", "port": "internal"},
            "livenessProbe": {"path": "/live", "port": "internal"},
            "readinessProbe": {"path": "/accepting", "port": "internal"},
        }


def test_the_ports_are_those_of_the_image() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert "ZEKT_PORT=8080 ZEKT_INTERNAL_PORT=8079" in dockerfile
    assert "ZEKT_HOST=0.0.0.0" in dockerfile
    assert "ZEKT_DATA_DIR=/var/lib/zekt" in dockerfile


@EVERY_CASE
def test_a_pod_serves_until_its_callers_know_and_then_has_time_to_finish(case: str) -> None:
    needs_s = max(REQUESTS_END_WITHIN_S, DRAINED_WITHIN_S) + CLOSED_WITHIN_S
    for deployment in deployed(case).values():
        pod = deployment["spec"]["template"]["spec"]
        waits_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert waits_s > 0
        assert pod["terminationGracePeriodSeconds"] >= waits_s + needs_s


@EVERY_CASE
def test_an_upgrade_takes_no_pod_away_before_another_is_ready(case: str) -> None:
    for deployment in deployed(case).values():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@EVERY_CASE
def test_changed_settings_bring_new_pods(case: str) -> None:
    for deployment in deployed(case).values():
        assert deployment["spec"]["template"]["metadata"]["annotations"]["zekt.dev/settings"]


@EVERY_CASE
def test_what_is_selected_is_what_is_labelled(case: str) -> None:
    labels = [pod["metadata"]["labels"].items() for pod in pods(case).values()]
    for kind in ("Service", "PodDisruptionBudget"):
        for name, found in of_kind(case, kind).items():
            selector = found["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert [each for each in labels if wanted <= each], name


@ON_AZURE
def test_replicas_keep_away_from_each_other_and_are_taken_one_at_a_time(case: str) -> None:
    budgets = of_kind(case, "PodDisruptionBudget")
    for deployment in deployed(case).values():
        constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        assert budgets[deployment["metadata"]["name"]]["spec"]["maxUnavailable"] == 1
        # Else a node that no pod of ours may go to counts as one that is empty, and the next replica waits for ever.
        assert {each["nodeTaintsPolicy"] for each in constraints} == {"Honor"}


@ON_ONE_VOLUME
def test_services_that_share_a_volume_share_its_node(case: str) -> None:
    (claim,) = of_kind(case, "PersistentVolumeClaim").values()
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for deployment in deployed(case).values():
        pod = deployment["spec"]["template"]["spec"]
        (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        (together,) = term["labelSelector"]["matchExpressions"]
        assert together["values"] == sorted(SERVICES)
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert deployment["spec"]["replicas"] == 1


@EVERY_CASE
def test_every_service_is_scaled_by_one_hand_alone(case: str) -> None:
    by_cpu = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(case, "HorizontalPodAutoscaler").values()}
    by_backlog = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(case, "ScaledObject").values()}
    assert not by_cpu & by_backlog
    if case == "production-standby":
        assert not by_cpu | by_backlog
    for deployment in deployed(case).values():
        scaled = deployment["metadata"]["name"] in by_cpu | by_backlog
        assert scaled != ("replicas" in deployment["spec"])


def test_what_scales_by_cpu_asks_for_a_share_of_a_core_that_is_worth_another_replica() -> None:
    """A percentage is of the request: of little, a few requests a second would start every replica that may be."""
    wanted = of_kind("production", "HorizontalPodAutoscaler").values()
    shares = {each["spec"]["scaleTargetRef"]["name"]: _cpu_share(each["spec"]["metrics"]) for each in wanted}
    for each in of_kind("production", "ScaledObject").values():
        (trigger,) = [trigger for trigger in each["spec"]["triggers"] if trigger["type"] == "cpu"]
        shares[each["spec"]["scaleTargetRef"]["name"]] = int(trigger["metadata"]["value"])
    assert set(shares) == {deployment["metadata"]["name"] for deployment in deployed("production").values()}
    for name, percent in shares.items():
        (container,) = pods("production")[name]["spec"]["containers"]
        requested_m = int(container["resources"]["requests"]["cpu"].removesuffix("m"))
        assert 250 <= requested_m * percent / 100 <= 1000, name


def _cpu_share(metrics: list[Object]) -> int:
    (metric,) = metrics
    percent: int = metric["resource"]["target"]["averageUtilization"]
    return percent


@ON_AZURE
def test_who_scales_can_be_changed_in_one_upgrade(case: str) -> None:
    """Helm makes what is new before it removes what was there, and KEDA refuses what another hand still holds."""
    for autoscaler in of_kind(case, "HorizontalPodAutoscaler").values():
        assert autoscaler["metadata"]["annotations"] == {"validations.keda.sh/hpa-ownership": "false"}


@ON_AZURE
def test_a_pod_that_acts_as_an_identity_is_given_its_token(case: str) -> None:
    accounts = of_kind(case, "ServiceAccount")
    for name, pod in pods(case).items():
        account = accounts.get(pod["spec"].get("serviceAccountName", ""))
        if account is None or component(pod) == "ping":
            continue
        assert account["metadata"]["annotations"]["azure.workload.identity/client-id"], name
        assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true", name


@EVERY_CASE
def test_provisioning_comes_before_anything_that_needs_it(case: str) -> None:
    hooked = [found for found in rendered(case) if component(found) == "provision"]
    assert bool(hooked) == (case.startswith("production") and case not in ("production-open", "production-standby"))
    for found in hooked:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"
        assert (int(annotations["helm.sh/hook-weight"]) == 0) == (found["kind"] == "Job")


def test_a_cluster_that_stands_by_has_everything_and_runs_nothing_until_it_takes_over() -> None:
    waiting, running = (of_kind(case, "Deployment") for case in ("production-standby", "production"))
    assert set(waiting) == set(running)
    assert {deployment["spec"]["replicas"] for deployment in waiting.values()} == {0}
    for service, deployment in deployed("production-standby").items():
        assert deployment["spec"]["template"] == deployed("production")[service]["spec"]["template"], service
    for kind in ("Job", "ScaledObject", "TriggerAuthentication", "HorizontalPodAutoscaler"):
        assert of_kind("production", kind)
        assert not of_kind("production-standby", kind), kind
    for kind in ("Service", "Ingress", "ServiceAccount", "SecretProviderClass", "ConfigMap"):
        taken_over = {name for name in of_kind("production", kind) if not name.endswith("-provision")}
        assert set(of_kind("production-standby", kind)) == taken_over, kind


def test_placement_is_the_same_for_all() -> None:
    for pod in pods("default-placed").values():
        assert pod["spec"]["nodeSelector"] == {"pool": "zekt"}
        assert pod["spec"]["tolerations"] == [{"key": "zekt", "operator": "Exists"}]
        assert pod["spec"]["priorityClassName"] == "important"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
