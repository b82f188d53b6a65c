"""What is set of Entra ID is set whole, or named; what is not set is this machine's own issuer."""

from pathlib import Path

import pytest

from zekt_common.auth.entra_credential import ClientSecret, ManagedIdentity, WorkloadIdentity
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.errors import SettingsError
from zekt_common.kit.settings import EnvironmentReader
from zekt_sandbox.entra import EntraSandbox

TENANT = "11111111-2222-3333-4444-555555555555"
API = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CLIENT = "99999999-8888-7777-6666-555555555555"
SET = {
    "ZEKT_ENTRA_TENANT_ID": TENANT,
    "ZEKT_ENTRA_AUDIENCE": f"api://{API}",
    "ZEKT_ENTRA_CLIENT_ID": CLIENT,
    "ZEKT_ENTRA_CREDENTIAL": "managed-identity",
}


def read(**env: str) -> EntraClient | None:
    reader = EnvironmentReader(env)
    client = EntraClient.read(reader)
    reader.check()
    return client


def problem(**env: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(**env)
    return str(refused.value)


def without(name: str) -> dict[str, str]:
    return {other: SET[other] for other in SET if other != name}


def test_nothing_set_is_no_entra_id() -> None:
    assert read() is None
    assert read(ZEKT_ENTRA_TENANT_ID=" ") is None
    assert read(AZURE_FEDERATED_TOKEN_FILE="/var/run/secrets/token") is None, "Azure's webhook sets it for any pod"


def test_a_tenant_of_the_public_cloud() -> None:
    client = read(**SET)
    assert client == EntraClient(
        tenant=EntraTenant(tenant_id=TENANT, audience=f"api://{API}"), client_id=CLIENT, credential=ManagedIdentity()
    )
    assert client.tenant.issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert client.tenant.v1_issuer == f"https://sts.windows.net/{TENANT}/"
    assert client.tenant.audiences == {API, f"api://{API}"}


def test_a_tenant_of_another_cloud() -> None:
    government = read(**SET, ZEKT_ENTRA_AUTHORITY="https://login.microsoftonline.us/")
    assert government is not None
    assert government.tenant.issuer == f"https://login.microsoftonline.us/{TENANT}/v2.0"
    china = read(**SET, ZEKT_ENTRA_AUTHORITY="https://login.partner.microsoftonline.cn")
    assert china is not None
    assert china.tenant.v1_issuer == f"https://sts.chinacloudapi.cn/{TENANT}/"


def test_ids_are_taken_in_lower_case_as_tokens_write_them() -> None:
    client = read(**(SET | {"ZEKT_ENTRA_TENANT_ID": TENANT.upper(), "ZEKT_ENTRA_AUDIENCE": API.upper()}))
    assert client is not None
    assert (client.tenant.tenant_id, client.tenant.audience) == (TENANT, API)


@pytest.mark.parametrize("missing", ["ZEKT_ENTRA_TENANT_ID", "ZEKT_ENTRA_AUDIENCE", "ZEKT_ENTRA_CLIENT_ID"])
def test_what_is_missing_beside_the_rest_is_named(missing: str) -> None:
    said = problem(**without(missing))
    assert said.startswith(f"{missing} is not set, though ZEKT_ENTRA_")
    assert said.endswith("set both, or nothing of Entra ID for this machine's issuer")


def test_identity_needs_no_client_but_does_not_ignore_one() -> None:
    reader = EnvironmentReader({"ZEKT_ENTRA_TENANT_ID": TENANT, "ZEKT_ENTRA_AUDIENCE": API})
    assert EntraTenant.read(reader) == EntraTenant(tenant_id=TENANT, audience=API)
    reader = EnvironmentReader({"ZEKT_ENTRA_CLIENT_ID": CLIENT})
    EntraTenant.read(reader)
    with pytest.raises(SettingsError, match="ZEKT_ENTRA_TENANT_ID is not set, though ZEKT_ENTRA_CLIENT_ID is"):
        reader.check()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ZEKT_ENTRA_TENANT_ID", "contoso.onmicrosoft.com", "must be an id such as"),
        ("ZEKT_ENTRA_TENANT_ID", "common", "must be an id such as"),
        ("ZEKT_ENTRA_CLIENT_ID", f"api://{CLIENT}", "must be an id such as"),
        ("ZEKT_ENTRA_AUDIENCE", "api://zekt-identity", "must be the application id of identity's API"),
        ("ZEKT_ENTRA_AUTHORITY", "http://127.0.0.1:8085", "must be https:// and a host, without the tenant"),
        ("ZEKT_ENTRA_AUTHORITY", f"https://login.microsoftonline.com/{TENANT}", "must be https:// and a host"),
        ("ZEKT_ENTRA_AUTHORITY", "login.microsoftonline.com", "must be an http(s) URL"),
        ("ZEKT_ENTRA_CA_FILE", "/nowhere/ca.pem", "cannot be read"),
        ("ZEKT_ENTRA_CREDENTIAL", "certificate", "must be workload-identity, managed-identity or client-secret"),
    ],
)
def test_what_is_unusable_is_named(name: str, value: str, said: str) -> None:
    refused = problem(**(SET | {name: value}))
    assert refused.startswith(f"{name} ")
    assert said in refused


def test_a_ca_file_holds_certificates(tmp_path: Path, sandbox: EntraSandbox) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    assert "holds no certificate in PEM form" in problem(**SET, ZEKT_ENTRA_CA_FILE=str(tmp_path / "ca.pem"))
    client = read(**SET, ZEKT_ENTRA_CA_FILE=str(sandbox.ca_file))
    assert client is not None
    assert client.tenant.ca_file == str(sandbox.ca_file)


def test_workload_identity_is_expected_unless_another_is_named(tmp_path: Path) -> None:
    env = without("ZEKT_ENTRA_CREDENTIAL")
    assert "AZURE_FEDERATED_TOKEN_FILE is not set, though ZEKT_ENTRA_CREDENTIAL is workload-identity" in problem(**env)
    missing = problem(**env, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "token"))
    assert missing.startswith("AZURE_FEDERATED_TOKEN_FILE names")
    (tmp_path / "token").write_text("projected")
    client = read(**env, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "token"))
    assert client is not None
    assert client.credential == WorkloadIdentity(tmp_path / "token")


def test_a_client_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    env = SET | {"ZEKT_ENTRA_CREDENTIAL": "client-secret"}
    (tmp_path / "secret").write_text("s3cret\n")
    for given in ({"ZEKT_ENTRA_CLIENT_SECRET": "s3cret"}, {"ZEKT_ENTRA_CLIENT_SECRET_FILE": str(tmp_path / "secret")}):
        client = read(**env, **given)
        assert client is not None
        assert client.credential == ClientSecret("s3cret")
        assert "s3cret" not in repr(client)


def test_a_client_secret_is_given_once_and_only_where_it_is_used(tmp_path: Path) -> None:
    env = SET | {"ZEKT_ENTRA_CREDENTIAL": "client-secret"}
    (tmp_path / "empty").write_text("\n")
    file = {"ZEKT_ENTRA_CLIENT_SECRET_FILE": str(tmp_path / "empty")}
    both = problem(**env, **file, ZEKT_ENTRA_CLIENT_SECRET="s3cret")
    assert both == "ZEKT_ENTRA_CLIENT_SECRET is set, and so is ZEKT_ENTRA_CLIENT_SECRET_FILE: keep one of them"
    assert "ZEKT_ENTRA_CLIENT_SECRET is not set, nor is ZEKT_ENTRA_CLIENT_SECRET_FILE" in problem(**env)
    assert problem(**env, **file) == "ZEKT_ENTRA_CLIENT_SECRET_FILE names a file that is empty"
    stray = problem(**SET, ZEKT_ENTRA_CLIENT_SECRET="s3cret")
    assert stray.startswith("ZEKT_ENTRA_CLIENT_SECRET is set, though ZEKT_ENTRA_CREDENTIAL is managed-identity")
    assert "s3cret" not in both + stray
