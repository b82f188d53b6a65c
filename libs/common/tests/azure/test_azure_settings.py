from pathlib import Path

import pytest

from zekt_common.adapters.azure_connections import connected
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.errors import SettingsError
from zekt_common.kit.settings import EnvironmentReader

SERVICEBUS = "Endpoint=sb://zekt.servicebus.windows.net/;SharedAccessKeyName=zekt;SharedAccessKey=c2VjcmV0LWI="
BLOB = "DefaultEndpointsProtocol=https;AccountName=zekt;AccountKey=c2VjcmV0LXM=;EndpointSuffix=core.windows.net"
KEYED = {
    "ZEKT_SERVICEBUS_CONNECTION": SERVICEBUS,
    "ZEKT_COSMOS_ENDPOINT": "https://zekt.documents.azure.com:443/",
    "ZEKT_COSMOS_KEY": "c2VjcmV0LWM=",
    "ZEKT_BLOB_CONNECTION": BLOB,
}
APART = {"ZEKT_COSMOS_KEYS_ENDPOINT": "https://zekt-keys.documents.azure.com"}
KEYLESS = {
    "ZEKT_SERVICEBUS_NAMESPACE": "zekt.servicebus.windows.net",
    "ZEKT_COSMOS_ENDPOINT": "https://zekt.documents.azure.com",
    "ZEKT_BLOB_URL": "https://zekt.blob.core.windows.net",
}


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as wrong:
        AzureSettings.from_env(env)
    return str(wrong.value).split("; ")


def read_backend(env: dict[str, str]) -> BackendSettings:
    reader = EnvironmentReader(env)
    settings = BackendSettings.read(reader)
    reader.check()
    return settings


def test_keys_and_connection_strings_need_no_identity() -> None:
    settings = AzureSettings.from_env(KEYED)
    assert settings.cosmos_database == "zekt"
    assert not settings.needs_identity


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("ZEKT_SERVICEBUS_CONNECTION", {"ZEKT_SERVICEBUS_NAMESPACE": "zekt.servicebus.windows.net"}),
        ("ZEKT_COSMOS_KEY", {}),
        ("ZEKT_BLOB_CONNECTION", {"ZEKT_BLOB_URL": "https://zekt.blob.core.windows.net"}),
    ],
)
def test_one_service_without_a_key_needs_an_identity(key: str, address: dict[str, str]) -> None:
    env = {name: value for name, value in KEYED.items() if name != key} | address
    assert AzureSettings.from_env(env).needs_identity


def test_data_keys_lie_beside_the_rest_unless_an_account_of_their_own_is_named() -> None:
    beside = connected(AzureSettings.from_env(KEYED), None)
    assert beside.cosmos_keys is beside.cosmos
    apart = connected(AzureSettings.from_env(KEYED | APART | {"ZEKT_COSMOS_KEYS_KEY": "c2VjcmV0LWs="}), None)
    assert apart.cosmos_keys.endpoint == "https://zekt-keys.documents.azure.com"
    assert (apart.cosmos_keys.key, apart.cosmos_keys.database) == ("c2VjcmV0LWs=", "zekt")


def test_an_account_of_keys_without_a_key_needs_an_identity() -> None:
    assert AzureSettings.from_env(KEYED | APART).needs_identity
    assert not AzureSettings.from_env(KEYED | APART | {"ZEKT_COSMOS_KEYS_KEY": "c2VjcmV0LWs="}).needs_identity


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ZEKT_COSMOS_KEYS_KEY": "c2VjcmV0"}, "ZEKT_COSMOS_KEYS_KEY is set, and ZEKT_COSMOS_KEYS_ENDPOINT is not"),
        ({"ZEKT_COSMOS_KEYS_ENDPOINT": "http://127.0.0.1:1"}, "unless ZEKT_COSMOS_KEYS_KEY is set"),
        ({**APART, "ZEKT_COSMOS_KEYS_KEY": "no key"}, "ZEKT_COSMOS_KEYS_KEY is not a key in base64"),
        ({"ZEKT_COSMOS_KEYS_ENDPOINT": "https://zekt.documents.azure.com:443/"}, "is the account of ZEKT_COSMOS_ENDPO"),
    ],
)
def test_an_unusable_account_of_keys_is_named(change: dict[str, str], says: str) -> None:
    (problem,) = problems(KEYED | change)
    assert says in problem


def test_secrets_do_not_show() -> None:
    shown = repr(AzureSettings.from_env(KEYED))
    assert "secret" not in shown
    assert "c2VjcmV0" not in shown


def test_everything_missing_is_named_at_once() -> None:
    assert problems({}) == [
        "ZEKT_SERVICEBUS_CONNECTION is not set, nor is ZEKT_SERVICEBUS_NAMESPACE: one of them is needed",
        "ZEKT_BLOB_CONNECTION is not set, nor is ZEKT_BLOB_URL: one of them is needed",
        "ZEKT_COSMOS_ENDPOINT is not set",
    ]


def test_contradictions_are_named_at_once() -> None:
    assert problems(KEYED | KEYLESS) == [
        "ZEKT_SERVICEBUS_CONNECTION is set, and so is ZEKT_SERVICEBUS_NAMESPACE: keep one of them",
        "ZEKT_BLOB_CONNECTION is set, and so is ZEKT_BLOB_URL: keep one of them",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ZEKT_SERVICEBUS_CONNECTION", "zekt.servicebus.windows.net", "needs Endpoint=sb://"),
        ("ZEKT_SERVICEBUS_CONNECTION", "Endpoint=sb://zekt/", "SharedAccessKey"),
        ("ZEKT_SERVICEBUS_CONNECTION", f"{SERVICEBUS};UseDevelopmentEmulator=True", "in lower case"),
        ("ZEKT_COSMOS_ENDPOINT", "http://cosmos.example", "must be an https URL"),
        ("ZEKT_COSMOS_KEY", "secret key", "is not a key in base64"),
        ("ZEKT_COSMOS_DATABASE", "a/b", "must be a name"),
        ("ZEKT_BLOB_CONNECTION", "AccountName=zekt", "needs AccountName and AccountKey"),
    ],
)
def test_what_is_unusable_is_named_and_not_quoted(name: str, value: str, says: str) -> None:
    (problem,) = problems(KEYED | {name: value})
    assert problem.startswith(f"{name} ")
    assert says in problem
    assert "secret" not in problem
    assert "c2VjcmV0" not in problem


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ZEKT_SERVICEBUS_NAMESPACE", "sb://zekt.servicebus.windows.net/", "must be a host name"),
        ("ZEKT_COSMOS_ENDPOINT", "http://127.0.0.1:8081", "unless ZEKT_COSMOS_KEY is set"),
        ("ZEKT_BLOB_URL", "https://zekt.blob.core.windows.net/?sig=secret", "goes into ZEKT_BLOB_CONNECTION"),
        ("ZEKT_BLOB_URL", "http://127.0.0.1:10000/zekt", "tokens need TLS"),
    ],
)
def test_tokens_travel_to_host_names_over_tls_alone(name: str, value: str, says: str) -> None:
    (problem,) = problems(KEYLESS | {name: value})
    assert problem.startswith(f"{name} ")
    assert says in problem
    assert "secret" not in problem


def test_sqlite_is_the_engine_unless_another_is_named() -> None:
    assert read_backend({}).azure is None
    assert read_backend({"ZEKT_BACKEND": "sqlite", **KEYED}).azure is None


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(SettingsError, match="ZEKT_BACKEND must be sqlite or azure, not 'postgres'"):
        read_backend({"ZEKT_BACKEND": "postgres"})


def test_settings_for_azure_without_choosing_it_are_a_contradiction() -> None:
    with pytest.raises(SettingsError, match="ZEKT_BACKEND is not set in spite of ZEKT_COSMOS_ENDPOINT: set it"):
        read_backend({"ZEKT_COSMOS_ENDPOINT": "https://zekt.documents.azure.com"})


def test_azure_needs_a_master_key_that_exists(tmp_path: Path) -> None:
    env = {"ZEKT_BACKEND": "azure", **KEYED}
    path = tmp_path / "master.key"
    with pytest.raises(SettingsError, match="ZEKT_MASTER_KEY_FILE is not set, nor is ZEKT_KEYVAULT_URL"):
        read_backend(env)
    env["ZEKT_MASTER_KEY_FILE"] = str(path)
    with pytest.raises(SettingsError, match=r"ZEKT_MASTER_KEY_FILE is unusable: .*master\.key .*No such file"):
        read_backend(env)
    path.write_bytes(b"short")
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="32 bytes for each generation"):
        read_backend(env)
    path.write_bytes(bytes(32))
    assert read_backend(env).master_key.file == path
