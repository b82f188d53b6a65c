import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import CosmosClient
from cli.tests.conftest import Zekt
from libs.common.tests.azure.azurite import azurite_or_skip
from libs.common.tests.azure.identity import Certificate, certify

from tests.ports import free_port
from zekt_cli.hosting.child import child
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS
from zekt_sandbox.azurite import Azurite
from zekt_sandbox.servicebus import DEFAULT_KEY, KEY_NAME

EMULATOR = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=zekt;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"
SERVICES = ("ingress", "identity", "router", "dispatcher")
CONTAINERS = [f"{kind}-{service}" for service in SERVICES for kind in ("events", "views")] + ["keys"]


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running


@contextmanager
def cosmos(log: Path, *options: str) -> Iterator[dict[str, str]]:
    with child(["zekt_sandbox.cosmos", "--port", "0", *options], log=log, ends_within_s=3) as started:
        state = json.loads(started.ready_line(20))
        yield {"ZEKT_COSMOS_ENDPOINT": state["url"], "ZEKT_COSMOS_KEY": state["key"]}


@pytest.fixture
def env(tmp_path: Path, azurite: Azurite) -> Iterator[dict[str, str]]:
    """An empty account beside a storage account that others share."""
    with cosmos(tmp_path / "cosmos.log") as account:
        yield account | {
            "ZEKT_BLOB_CONNECTION": azurite.connection_string,
            "ZEKT_SERVICEBUS_CONNECTION": EMULATOR,
        }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify(tmp_path_factory.mktemp("tls"))


@contextmanager
def namespace(directory: Path, certificate: Certificate, *topics: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A Service Bus namespace with these topics, administered over https."""
    config = directory / "config.json"
    config.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Topics": topics}]}}))
    options = ["--config", str(config), "--port", "0", "--administration-port", "0"]
    options += ["--tls-cert", str(certificate.path), "--tls-key", str(certificate.key)]
    with child(["zekt_sandbox.servicebus", *options], log=directory / "bus.log", ends_within_s=3) as started:
        port = json.loads(started.ready_line(20))["administration_port"]
        key = f"SharedAccessKeyName={KEY_NAME};SharedAccessKey={DEFAULT_KEY}"
        yield {
            "ZEKT_SERVICEBUS_CONNECTION": f"Endpoint=sb://127.0.0.1:{port};{key}",
            "SSL_CERT_FILE": str(certificate.path),
        }


def changes(zekt: Zekt, env: dict[str, str], *options: str) -> list[dict[str, Any]]:
    ended = zekt("provision", "--json", *options, **env)
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, Any]] = json.loads(ended.stdout)["changes"]
    return found


def test_what_is_missing_is_made_once(zekt: Zekt, env: dict[str, str]) -> None:
    planned = changes(zekt, env, "--dry-run")
    assert [change["name"] for change in planned if change["kind"] in ("database", "container")] == [
        "zekt",
        *CONTAINERS,
    ]
    assert {change["sign"] for change in planned} == {"+"}
    assert changes(zekt, env) == planned
    assert changes(zekt, env) == []
    assert zekt("provision", **env).stdout == "nothing to change\n"


def test_an_account_that_writes_in_several_regions_is_refused_before_anything_is_made(
    zekt: Zekt, env: dict[str, str], tmp_path: Path
) -> None:
    regions = ("--write-region", "North Europe", "--write-region", "West Europe")
    with cosmos(tmp_path / "several.log", *regions) as several:
        for _ in range(2):
            ended = zekt("provision", **(env | several))
            assert ended.returncode == 1
            assert ended.stderr == (
                "zekt: ZEKT_COSMOS_ENDPOINT: the account writes in 2 regions (North Europe, West Europe): "
                "leave it one write region, since two could store the same version of a stream\n"
            )


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An account for the data keys alone."""
    with cosmos(tmp_path / "keys.log") as account:
        yield {
            "ZEKT_COSMOS_KEYS_ENDPOINT": account["ZEKT_COSMOS_ENDPOINT"],
            "ZEKT_COSMOS_KEYS_KEY": account["ZEKT_COSMOS_KEY"],
        }


def test_data_keys_are_given_an_account_of_their_own(zekt: Zekt, env: dict[str, str], apart: dict[str, str]) -> None:
    made = [change["name"] for change in changes(zekt, env | apart) if change["kind"] in ("database", "container")]
    assert made == ["zekt", *CONTAINERS[:-1], "zekt", "keys"]
    assert changes(zekt, env | apart) == []


def test_data_keys_are_not_left_behind(zekt: Zekt, env: dict[str, str], apart: dict[str, str]) -> None:
    changes(zekt, env)
    assert changes(zekt, env | apart, "--dry-run")  # an empty container holds nobody up
    key = {"id": "7", "keyId": "k", "wrapped": "", "generation": ""}
    with CosmosClient(env["ZEKT_COSMOS_ENDPOINT"], credential=env["ZEKT_COSMOS_KEY"]) as client:
        client.get_database_client("zekt").get_container_client("keys").create_item(key)
    ended = zekt("provision", **(env | apart))
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "zekt: ZEKT_COSMOS_KEYS_ENDPOINT names an account of its own for data keys, and that"
    )


def test_an_account_of_keys_out_of_reach_is_named(zekt: Zekt, env: dict[str, str]) -> None:
    endpoint = {"ZEKT_COSMOS_KEYS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "ZEKT_COSMOS_KEYS_KEY": "c2VjcmV0"}
    ended = zekt("provision", **(env | endpoint))
    assert ended.returncode == 3
    assert ended.stderr.startswith("zekt: ZEKT_COSMOS_KEYS_ENDPOINT")


def test_missing_settings_are_named_all_at_once(zekt: Zekt) -> None:
    ended = zekt("provision")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    for name in ("ZEKT_SERVICEBUS_CONNECTION", "ZEKT_COSMOS_ENDPOINT", "ZEKT_BLOB_CONNECTION"):
        assert f"{name} is not set" in ended.stderr


def test_an_account_out_of_reach_is_named(zekt: Zekt, env: dict[str, str]) -> None:
    ended = zekt("provision", **(env | {"ZEKT_COSMOS_ENDPOINT": f"http://127.0.0.1:{free_port()}"}))
    assert ended.returncode == 3
    assert ended.stderr.startswith("zekt: ZEKT_COSMOS_ENDPOINT")
    assert ended.stderr.count("\n") == 1


def test_a_wrong_storage_key_is_named_and_not_shown(zekt: Zekt, env: dict[str, str], azurite: Azurite) -> None:
    wrong = azurite.connection_string.replace(azurite.key, "d3Jvbmc=")
    ended = zekt("provision", **(env | {"ZEKT_BLOB_CONNECTION": wrong}))
    assert ended.returncode == 5
    assert ended.stderr.startswith("zekt: ZEKT_BLOB_CONNECTION")
    assert "d3Jvbmc" not in ended.stderr


def test_topics_subscriptions_and_their_two_rules_are_made_once(
    zekt: Zekt, env: dict[str, str], tmp_path: Path, certificate: Certificate
) -> None:
    with namespace(tmp_path, certificate) as bus:
        made = changes(zekt, env | bus)
        assert [change["name"] for change in made if change["kind"] == "topic"] == list(TOPICS)
        for subscription in SUBSCRIPTIONS:
            name = f"{subscription.topic}/{subscription.name}"
            assert {(change["sign"], change["name"]) for change in made if change["name"].startswith(f"{name}/")} == {
                ("+", f"{name}/for-everyone"),
                ("+", f"{name}/for-{subscription.name}"),
                ("-", f"{name}/$Default"),
            }
        assert changes(zekt, env | bus) == []


def test_a_topic_without_duplicate_detection_is_refused_before_anything_is_made(
    zekt: Zekt, env: dict[str, str], tmp_path: Path, certificate: Certificate
) -> None:
    with namespace(tmp_path, certificate, {"Name": "router", "Properties": {}}) as bus:
        ended = zekt("provision", **(env | bus))
        assert ended.returncode == 1
        assert ended.stderr.startswith("zekt: the topic router exists without duplicate detection")
        assert len(changes(zekt, env, "--dry-run")) > len(CONTAINERS)


def test_what_has_drifted_is_mended(zekt: Zekt, env: dict[str, str], tmp_path: Path, certificate: Certificate) -> None:
    filtered = {"FilterType": "Correlation", "CorrelationFilter": {"Properties": {"for": "nobody"}}}
    router = {
        "Name": "router",
        "Properties": {"LockDuration": "PT1M"},
        "Rules": [{"Name": "for-router", "Properties": filtered}],
    }
    ingress = {
        "Name": "ingress",
        "Properties": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT1M"},
        "Subscriptions": [router],
    }
    with namespace(tmp_path, certificate, ingress) as bus:
        made = [(change["sign"], change["name"]) for change in changes(zekt, env | bus)]
        assert made[:5] == [
            ("~", "ingress"),
            ("~", "ingress/router"),
            ("+", "ingress/router/for-everyone"),
            ("-", "ingress/router/for-router"),
            ("+", "ingress/router/for-router"),
        ]
        assert changes(zekt, env | bus) == []
