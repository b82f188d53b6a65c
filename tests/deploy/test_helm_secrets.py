"""Secrets reach the parts that need them and nobody else, and are in no object of the chart."""

import re

import pytest
import yaml

from tests.deploy.chart import (
    AZURE_SITE,
    CASES,
    IDS,
    TENANT,
    Object,
    Values,
    component,
    manifests,
    of_kind,
    pods,
    suite,
    with_values,
)

EVERY_CASE = pytest.mark.parametrize("case", CASES)
PARTS = ("ingress", "identity", "router", "dispatcher", "provision", "ping")
BY_VAULT = "production"
BY_KEYS = "production-by-keys"


def secret_keys(pod: Object) -> set[str]:
    """Return which keys of secrets a pod is given, in its environment and as files."""
    (container,) = pod["spec"]["containers"]
    in_environment = {
        each["valueFrom"]["secretKeyRef"]["key"] for each in container.get("env", []) if "valueFrom" in each
    }
    volumes = pod["spec"].get("volumes", [])
    return in_environment | {
        item["key"] for volume in volumes if "secret" in volume for item in volume["secret"]["items"]
    }


def part(case: str, name: str) -> Object:
    (pod,) = [pod for pod in pods(case).values() if component(pod) == name]
    return pod


@EVERY_CASE
def test_the_chart_makes_no_secret(case: str) -> None:
    assert not of_kind(case, "Secret")


@EVERY_CASE
def test_no_config_map_holds_a_setting_that_is_secret(case: str) -> None:
    secret = {each["setting"] for each in suite()["secrets"].values()}
    for found in of_kind(case, "ConfigMap").values():
        assert not secret & set(found["data"])


@EVERY_CASE
def test_the_environment_holds_a_secret_by_reference_alone(case: str) -> None:
    secret = {each["setting"] for each in suite()["secrets"].values() if not each.get("file")}
    for pod in pods(case).values():
        for each in pod["spec"]["containers"][0].get("env", []):
            assert (each["name"] in secret) == ("valueFrom" in each), each["name"]


def test_each_part_is_given_its_own_secrets_and_no_others() -> None:
    everywhere = {"master-key", "servicebus", "cosmos", "cosmos-keys", "blob"}
    assert {name: secret_keys(part(BY_KEYS, name)) for name in PARTS} == {
        "ingress": everywhere | {"webhook-secrets", "webhook-master-keys"},
        "identity": everywhere | {"github-app-private-key", "oauth-client-secret", "webhook-master-keys"},
        "router": everywhere,
        "dispatcher": everywhere,
        "provision": everywhere - {"master-key"},
        "ping": {"webhook-secrets"},
    }


def test_with_entra_id_everywhere_there_are_few_secrets() -> None:
    assert {name: secret_keys(part(BY_VAULT, name)) for name in PARTS} == {
        "ingress": {"webhook-secrets", "webhook-master-keys"},
        "identity": {"github-app-private-key", "oauth-client-secret", "webhook-master-keys"},
        "router": set(),
        "dispatcher": set(),
        "provision": set(),
        "ping": {"webhook-secrets"},
    }


def test_a_part_is_shown_no_more_of_the_vault_than_it_needs_and_as_itself() -> None:
    classes = of_kind(BY_VAULT, "SecretProviderClass")
    assert set(classes) == {"zekt-ingress", "zekt-identity", "zekt-ping"}
    for name, found in classes.items():
        parameters = found["spec"]["parameters"]
        objects = [yaml.safe_load(each) for each in yaml.safe_load(parameters["objects"])["array"]]
        own = component(found)
        assert {each["objectName"] for each in objects} == secret_keys(part(BY_VAULT, own)), name
        assert parameters["keyvaultName"] == "zekt-vault"
        assert parameters["tenantId"] == TENANT
        assert parameters["clientID"] == IDS["ingress" if own == "ping" else own]


def test_a_pod_mounts_what_copies_its_secrets_from_the_vault() -> None:
    for name in ("ingress", "identity", "ping"):
        pod = part(BY_VAULT, name)
        (mounted,) = [each["csi"] for each in pod["spec"]["volumes"] if "csi" in each]
        found = of_kind(BY_VAULT, "SecretProviderClass")[mounted["volumeAttributes"]["secretProviderClass"]]
        (copy,) = found["spec"]["secretObjects"]
        assert {each["key"] for each in copy["data"]} == secret_keys(pod)
        references = re.findall(r"'(?:secretName|name)': '(zekt-[a-z]+-vault-[0-9a-f]+)'", str(pod))
        assert set(references) == {copy["secretName"]}


def copied(more: Values) -> dict[str, str]:
    """Return what the copy of the vault is called for each part that has one."""
    return {
        component(found): found["spec"]["secretObjects"][0]["secretName"]
        for found in manifests(with_values(BY_VAULT, more))
        if found["kind"] == "SecretProviderClass"
    }


def test_another_set_of_secrets_is_another_copy_since_the_driver_does_not_change_the_one_that_is_there() -> None:
    """Else new pods would look in the old pods' copy for a secret that it does not have, and never start."""
    before = copied({})
    assert copied({"services": {"router": {"replicas": 4}}}) == before
    fewer = copied({"secrets": {"keys": {"oauthClientSecret": ""}}})
    assert fewer["identity"] != before["identity"]
    assert {part: fewer[part] for part in ("ingress", "ping")} == {part: before[part] for part in ("ingress", "ping")}
    elsewhere = copied({"secrets": {"keyVault": {"name": "another-vault"}}})
    assert not set(elsewhere.values()) & set(before.values())


@EVERY_CASE
def test_files_of_secrets_are_for_their_group_alone(case: str) -> None:
    for pod in pods(case).values():
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
                assert pod["spec"]["securityContext"]["fsGroup"] == 10001


@EVERY_CASE
def test_a_setting_that_names_a_file_names_one_that_is_mounted(case: str) -> None:
    for pod in pods(case).values():
        (container,) = pod["spec"]["containers"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        files = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in pod["spec"]["volumes"]
            if "secret" in volume
            for item in volume["secret"]["items"]
        }
        named = {each["value"] for each in container.get("env", []) if each["name"].endswith("_KEY_FILE")}
        assert named == files


def test_keda_reads_the_backlog_with_the_connection_string_or_as_an_identity() -> None:
    by_identity = of_kind(BY_VAULT, "TriggerAuthentication")["zekt-router"]["spec"]
    assert by_identity == {"podIdentity": {"provider": "azure-workload", "identityId": IDS["keda"]}}
    by_key = of_kind(BY_KEYS, "TriggerAuthentication")["zekt-router"]["spec"]
    assert by_key == {"secretTargetRef": [{"parameter": "connection", "name": "zekt-secrets", "key": "servicebus"}]}


def test_the_site_of_the_tests_has_as_many_secrets_as_a_site_can_have() -> None:
    """So that none is left out of what the tests above look at."""
    used = set(AZURE_SITE["secrets"]["keys"]) | {"webhookSecrets", "githubAppPrivateKey"}
    by_keys = {"masterKey", "servicebusConnection", "cosmosKey", "cosmosKeysKey", "blobConnection"}
    assert used | by_keys == set(suite()["secrets"])
