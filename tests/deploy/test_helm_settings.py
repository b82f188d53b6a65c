"""The chart gives every container the settings that it needs, none that nobody reads, and can give them all."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import helm_python
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deploy.chart import AUDIENCE, CASES, CHART, IDS, TENANT, component, of_kind, pods
from tests.deploy.composition import SERVICES
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.errors import SettingsError
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.settings import IdentitySettings
from zekt_ingress.settings import IngressSettings
from zekt_router.settings import RouterSettings

EVERY_CASE = pytest.mark.parametrize("case", CASES)
READERS: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
    "ingress": IngressSettings.from_env,
    "identity": IdentitySettings.from_env,
    "router": RouterSettings.from_env,
    "dispatcher": DispatcherSettings.from_env,
    "provision": AzureSettings.from_env,
}
BY_WORKLOAD_IDENTITY = {"AZURE_FEDERATED_TOKEN_FILE"}
INSTEAD_OF_WORKLOAD_IDENTITY = {
    "ZEKT_ENTRA_CREDENTIAL",
    "ZEKT_ENTRA_CLIENT_SECRET",
    "ZEKT_ENTRA_CLIENT_SECRET_FILE",
    "ZEKT_ENTRA_CA_FILE",
}
"""Other ways to be known to Entra ID, which a pod has no need of."""
BY_LIBRARIES = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}


class Asked(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._env[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What a pod finds behind the settings that name files."""
    directory = tmp_path_factory.mktemp("chart")
    (directory / "app.pem").write_text(_app_key())
    (directory / "master.key").write_bytes(bytes(range(32)))
    (directory / "master.key").chmod(0o440)
    (directory / "token").write_text("made up")
    return {
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(directory / "app.pem"),
        "ZEKT_MASTER_KEY_FILE": str(directory / "master.key"),
        "AZURE_FEDERATED_TOKEN_FILE": str(directory / "token"),
    }


SECRETS = {
    "ZEKT_GITHUB_WEBHOOK_SECRETS": "made up",
    "ZEKT_WEBHOOK_MASTER_KEYS": f"1:{'0' * 64}",
    "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": "made up",
    "ZEKT_SERVICEBUS_CONNECTION": "Endpoint=sb://z.servicebus.windows.net;SharedAccessKeyName=z;SharedAccessKey=eg==",
    "ZEKT_COSMOS_KEY": "eg==",
    "ZEKT_COSMOS_KEYS_KEY": "eg==",
    "ZEKT_BLOB_CONNECTION": "AccountName=z;AccountKey=eg==",
}


def environment(case: str, part: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return what the part's container has in its environment once its secrets and identity are there."""
    (pod,) = [pod for pod in pods(case).values() if component(pod) == part]
    (container,) = pod["spec"]["containers"]
    env: dict[str, str] = {}
    for source in container.get("envFrom", []):
        env |= of_kind(case, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container.get("env", []):
        env[each["name"]] = each.get("value") or SECRETS[each["name"]]
    if "azure.workload.identity/use" in pod["metadata"]["labels"]:
        env["AZURE_FEDERATED_TOKEN_FILE"] = "projected"
    return {name: files.get(name, value) for name, value in env.items()}


@EVERY_CASE
@pytest.mark.parametrize("part", READERS)
def test_a_container_has_every_setting_that_it_needs(case: str, part: str, files: Mapping[str, str]) -> None:
    if part == "provision" and not of_kind(case, "Job"):
        return
    settings = READERS[part](environment(case, part, files))
    if part != "provision":
        assert (settings.backend.azure is not None) == case.startswith("production")


@EVERY_CASE
@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_in_the_chart_is_one_that_some_service_reads(
    case: str, service: str, files: Mapping[str, str]
) -> None:
    env = environment(case, service, files)
    unknown = {name for name in env if not name.startswith("OTEL_")} - _read_by_services(files) - BY_LIBRARIES
    assert unknown == set()


def test_every_setting_that_the_code_reads_can_be_given(files: Mapping[str, str]) -> None:
    """By the image, by a value, by a secret or, for what is seldom changed, by `services.*.settings`."""
    given = {name for case in CASES for service in SERVICES for name in environment(case, service, files)}
    by_image = {"ZEKT_HOST", "ZEKT_PORT", "ZEKT_INTERNAL_PORT", "ZEKT_DATA_DIR", "ZEKT_LOG_FORMAT"}
    elsewhere = by_image | BY_WORKLOAD_IDENTITY | INSTEAD_OF_WORKLOAD_IDENTITY
    assert _read_by_services(files) - given - elsewhere - _further_settings() == set()


def test_further_settings_are_those_that_the_service_reads(files: Mapping[str, str]) -> None:
    for service in SERVICES:
        assert _further_settings(service) - {"ZEKT_LOG_FORMAT"} <= _read_by(service, files)


def _further_settings(*services: str) -> set[str]:
    with helm_python.Chart.load(CHART) as chart:
        definitions = (chart.schema or {})["definitions"]
    names = [definitions[service]["properties"]["settings"]["propertyNames"] for service in services or SERVICES]
    return {name for each in names for name in each["anyOf"][0]["enum"]}


def _read_by_services(files: Mapping[str, str]) -> set[str]:
    return {name for service in SERVICES for name in _read_by(service, files)}


def _read_by(service: str, files: Mapping[str, str]) -> set[str]:
    """Return every setting that the service asks for, whichever engine it is on."""
    names: set[str] = set()
    entra = {"ZEKT_ENTRA_TENANT_ID": TENANT, "ZEKT_ENTRA_AUDIENCE": AUDIENCE, "ZEKT_ENTRA_CLIENT_ID": IDS["router"]}
    for env in ({}, {"ZEKT_BACKEND": "azure", **entra, **files}):
        asked = Asked(env)
        with contextlib.suppress(SettingsError):
            READERS[service](asked)
        names |= asked.names
    return names


def _app_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
