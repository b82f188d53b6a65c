"""The compose files start what the code is: its services, settings and topology, and nothing more open than that."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deploy.composition import DOCKER, FILES, ROOT, SERVICES, composition, environment
from zekt_common.adapters.master_key_file import ensure_key_file
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.settings import IdentitySettings
from zekt_ingress.settings import IngressSettings
from zekt_router.settings import RouterSettings

ReadSettings = Callable[[Mapping[str, str]], Any]
READERS: Mapping[str, ReadSettings] = {
    "ingress": IngressSettings.from_env,
    "identity": IdentitySettings.from_env,
    "router": RouterSettings.from_env,
    "dispatcher": DispatcherSettings.from_env,
}
ASKED_FOR = {"ZEKT_GITHUB_APP_ID": "7", "ZEKT_GITHUB_WEBHOOK_SECRETS": "made up"}
CUT_OFF = "test $$(wc -l < /proc/net/route) -gt 1 || { sleep 3; kill 1; exit 1; }; "
EVERYWHERE = pytest.mark.parametrize("name", FILES)
EACH = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The files that the containers are given, by the setting that names them."""
    directory = tmp_path_factory.mktemp("secrets")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "app.pem").write_bytes(pem)
    ensure_key_file(directory / "master.key")
    return {
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(directory / "app.pem"),
        "ZEKT_MASTER_KEY_FILE": str(directory / "master.key"),
    }


def settings_of(name: str, service: str, files: Mapping[str, str]) -> Any:
    env = environment(name, service)
    given = {setting: text for setting, text in (ASKED_FOR | dict(files)).items() if setting in env}
    return READERS[service](env | given)


@EVERYWHERE
@EACH
def test_a_service_takes_the_settings_that_its_container_has(name: str, service: str, files: Mapping[str, str]) -> None:
    settings = settings_of(name, service, files)
    assert settings.host.host == "127.0.0.1"
    assert (settings.backend.azure is None) == (name == "docker-compose.sqlite.yml")


@EVERYWHERE
@EACH
def test_every_setting_that_a_container_has_is_one_the_code_reads(name: str, service: str) -> None:
    sources = "".join(path.read_text() for path in _sources())
    unknown = {
        setting for setting in environment(name, service) if setting.startswith("ZEKT_") and setting not in sources
    }
    assert unknown == set()


@EVERYWHERE
def test_no_two_services_listen_on_one_port_of_the_network_they_share(name: str, files: Mapping[str, str]) -> None:
    hosts = [settings_of(name, service, files).host for service in SERVICES]
    ports = [port for host in hosts for port in (host.port, host.internal_port)]
    assert len(set(ports)) == 2 * len(SERVICES)


@EVERYWHERE
def test_tokens_are_asked_for_at_the_internal_port_of_identity(name: str, files: Mapping[str, str]) -> None:
    url = f"http://127.0.0.1:{settings_of(name, 'identity', files).host.internal_port}"
    assert {settings_of(name, service, files).identity_url for service in ("router", "dispatcher")} == {url}


@EVERYWHERE
def test_only_the_gateway_is_reached_from_outside(name: str) -> None:
    services = composition(name)["services"]
    published = {service: each["ports"] for service, each in services.items() if "ports" in each}
    assert published == {"network": ["${GATEWAY_ADDRESS:-127.0.0.1}:8080:8000"]}
    assert {services[service]["network_mode"] for service in (*SERVICES, "gateway")} == {"service:network"}


@EVERYWHERE
def test_who_shares_the_network_namespace_looks_whether_it_is_still_there(name: str) -> None:
    services = composition(name)["services"]
    (of_images,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    for service in SERVICES:
        assert services[service]["healthcheck"]["test"] == ["CMD-SHELL", CUT_OFF + " ".join(json.loads(of_images))]
    assert services["gateway"]["healthcheck"]["test"][1].startswith(CUT_OFF)


@EVERYWHERE
def test_another_version_of_ours_leaves_gateway_and_network_alone(name: str) -> None:
    services = composition(name)["services"]
    assert services["network"]["image"] == services["gateway"]["image"]
    assert "ZEKT_TAG" not in services["network"]["image"]


@EVERYWHERE
def test_what_is_ours_can_change_nothing_but_its_data(name: str) -> None:
    services = composition(name)["services"]
    ours = {service: each for service, each in services.items() if "ZEKT_IMAGES" in each["image"]} | {
        "gateway": services["gateway"]
    }
    assert set(SERVICES) < set(ours)
    for service, each in ours.items():
        assert each["read_only"] is True, service
        assert each["cap_drop"] == ["ALL"], service
        assert each["security_opt"] == ["no-new-privileges:true"], service


@EVERYWHERE
def test_what_is_ours_is_pulled_from_nobody_unless_asked_to(name: str) -> None:
    """The images' default name belongs to whoever registers it first."""
    for service, each in composition(name)["services"].items():
        if "ZEKT_IMAGES" in each["image"]:
            assert each["pull_policy"] == "${ZEKT_PULL_POLICY:-never}", service


@EVERYWHERE
@EACH
def test_a_service_is_ended_later_than_it_needs_for_ending_itself(name: str, service: str) -> None:
    assert composition(name)["services"][service]["stop_grace_period"] == "15s"


@EACH
def test_both_files_run_a_service_alike_but_for_its_engine(service: str) -> None:
    first, second = (_without(composition(name)["services"][service], "environment", "depends_on") for name in FILES)
    assert first == second
    on_azure, on_sqlite = (environment(name, service) for name in FILES)
    assert _without(on_azure, *filter(_of_engine, on_azure)) == _without(on_sqlite, "ZEKT_BACKEND")


def test_services_on_the_emulators_wait_until_provisioning_is_done() -> None:
    services = composition("docker-compose.yml")["services"]
    for service in SERVICES:
        assert services[service]["depends_on"]["provision"] == {"condition": "service_completed_successfully"}


def test_the_emulator_has_the_topology_of_the_code() -> None:
    stored = json.loads((ROOT / "deploy" / "servicebus" / "Config.json").read_text())
    assert stored == emulator_config()


def test_the_service_bus_emulator_is_given_that_configuration() -> None:
    (mounted,) = composition("docker-compose.yml")["services"]["servicebus"]["volumes"]
    assert mounted.startswith("./deploy/servicebus/Config.json:")


@EVERYWHERE
def test_no_secret_of_anybody_is_in_a_file(name: str) -> None:
    for setting in ("ZEKT_GITHUB_WEBHOOK_SECRETS", "MSSQL_SA_PASSWORD"):
        given = re.findall(rf"{setting}: *(.*)", (ROOT / name).read_text())
        assert all(text.startswith(f"${{{setting}:?") for text in given), setting


@EVERYWHERE
def test_compose_accepts_the_file(name: str) -> None:
    checked = _config(ROOT / name)
    assert checked.returncode == 0, checked.stderr


@EVERYWHERE
def test_compose_refuses_the_file_where_it_is_broken(name: str, tmp_path: Path) -> None:
    broken = (ROOT / name).read_text().replace("\n    entrypoint:", "\n    entrypiont:")
    (tmp_path / name).write_text(broken)
    checked = _config(tmp_path / name)
    assert checked.returncode != 0
    assert "entrypiont" in checked.stdout + checked.stderr


def _without(content: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: each for key, each in content.items() if key not in keys}


def _config(path: Path) -> subprocess.CompletedProcess[str]:
    """Let Compose read a file, with what `.env` gives it."""
    asked = ASKED_FOR | {"ACCEPT_EULA": "Y", "MSSQL_SA_PASSWORD": "made up", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = [*_compose(), "-f", path.name, "config", "-q"]
    return subprocess.run(command, cwd=path.parent, env=asked, capture_output=True, text=True, check=False)


def _compose() -> list[str]:
    """Return how Compose is called here."""
    docker, standalone = shutil.which("docker"), shutil.which("docker-compose")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    if standalone:
        return [standalone]
    missing = "Compose is not installed: that it accepts the file was not looked at"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def _of_engine(setting: str) -> bool:
    kinds = ("ZEKT_BACKEND", "ZEKT_SERVICEBUS_", "ZEKT_COSMOS_", "ZEKT_BLOB_", "ZEKT_MASTER_KEY_FILE")
    return setting.startswith(kinds)


def _sources() -> list[Path]:
    return [*(ROOT / "services").glob("*/src/**/*.py"), *(ROOT / "libs" / "common" / "src").rglob("*.py")]
