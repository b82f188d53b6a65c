"""MSAL over TLS against the stand-in: each credential, and what is said when one does not convince."""

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Any

import jwt
import pytest

from zekt_common.auth.entra_client import EntraTokenClient
from zekt_common.auth.entra_credential import ClientSecret, EntraCredential, ManagedIdentity, WorkloadIdentity
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.auth.service_tokens import ServiceTokenUnavailable
from zekt_sandbox.entra import EntraSandbox, Fault

POD = "system:serviceaccount:zekt:router"


def client_of(tenant: EntraTenant, client_id: str, credential: EntraCredential) -> EntraTokenClient:
    return EntraTokenClient(EntraClient(tenant=tenant, client_id=client_id, credential=credential))


async def claims_from(client: EntraTokenClient) -> dict[str, Any]:
    acquired = await asyncio.to_thread(client.acquire)
    assert 3500 < acquired.life_s <= 3600
    claims: dict[str, Any] = jwt.decode(acquired.value, options={"verify_signature": False})
    return claims


async def refusal_of(client: EntraTokenClient) -> ServiceTokenUnavailable:
    with pytest.raises(ServiceTokenUnavailable) as unavailable:
        await asyncio.to_thread(client.acquire)
    return unavailable.value


async def test_a_client_secret_earns_a_token(sandbox: EntraSandbox, tenant: EntraTenant) -> None:
    router = sandbox.register("Tokens.Installation")
    claims = await claims_from(client_of(tenant, router.client_id, ClientSecret(router.secret)))
    assert (claims["azp"], claims["roles"]) == (router.client_id, ["Tokens.Installation"])


async def test_the_pods_token_is_read_anew_for_every_acquisition(
    sandbox: EntraSandbox, tenant: EntraTenant, tmp_path: Path
) -> None:
    router = sandbox.register()
    sandbox.federate(router.client_id, POD)
    sandbox.token_life_s = 60  # so little that MSAL does not keep it
    projected = tmp_path / "token"
    client = client_of(tenant, router.client_id, WorkloadIdentity(projected))
    projected.write_text(sandbox.pod_token(POD, exp=1))
    assert "AZURE_FEDERATED_TOKEN_FILE" in str(await refusal_of(client))
    projected.write_text(f"{sandbox.pod_token(POD)}\n")
    acquired = await asyncio.to_thread(client.acquire)
    assert acquired.life_s == 60
    projected.unlink()
    gone = await refusal_of(client)
    assert str(gone) == f"AZURE_FEDERATED_TOKEN_FILE names {projected}, which cannot be read: No such file or directory"


async def test_a_managed_identity_is_asked_for_at_the_machines_endpoint(
    sandbox: EntraSandbox, tenant: EntraTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.url)
    identity = sandbox.register_managed_identity("Tokens.Installation")
    claims = await claims_from(client_of(tenant, identity.client_id, ManagedIdentity()))
    assert (claims["azp"], claims["roles"]) == (identity.client_id, ["Tokens.Installation"])
    assert sandbox.requests == {"managed_identity": 1}


async def test_an_identity_that_the_machine_does_not_have_is_named_by_its_setting(
    sandbox: EntraSandbox, tenant: EntraTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.url)
    refused = await refusal_of(client_of(tenant, sandbox.register().client_id, ManagedIdentity()))
    assert str(refused).endswith("no token (invalid_request): see ZEKT_ENTRA_CLIENT_ID")


async def test_a_metadata_endpoint_that_fails_is_worth_another_try_soon(
    sandbox: EntraSandbox, tenant: EntraTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.url)
    sandbox.faults.add(Fault("error", "managed_identity"))
    client = client_of(tenant, sandbox.register_managed_identity().client_id, ManagedIdentity())
    refused = await refusal_of(client)
    assert str(refused).startswith("the managed identity endpoint (ZEKT_ENTRA_CREDENTIAL) is overloaded or fails")
    assert refused.retry_after_s == 5


async def test_a_wrong_secret_is_named_by_its_setting_and_never_shown(
    sandbox: EntraSandbox, tenant: EntraTenant, caplog: pytest.LogCaptureFixture
) -> None:
    router = sandbox.register()
    refused = await refusal_of(client_of(tenant, router.client_id, ClientSecret("wr0ng-s3cret")))
    assert str(refused) == (
        f"Entra ID gives the application {router.client_id} no token "
        "(invalid_client, AADSTS7000215): see ZEKT_ENTRA_CLIENT_SECRET"
    )
    assert refused.retry_after_s == 60
    assert "wr0ng-s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"audience": "api://00000000-0000-0000-0000-00000000000a"}, "AADSTS500011): see ZEKT_ENTRA_AUDIENCE"),
        ({"client_id": "00000000-0000-0000-0000-00000000000b"}, "AADSTS700016): see ZEKT_ENTRA_CLIENT_ID"),
        ({"tenant_id": "00000000-0000-0000-0000-00000000000c"}, "ZEKT_ENTRA_TENANT_ID"),
        ({"authority": "https://127.0.0.1:1"}, "https://127.0.0.1:1 (ZEKT_ENTRA_AUTHORITY"),
    ],
)
async def test_each_wrong_setting_is_named(
    sandbox: EntraSandbox, tenant: EntraTenant, changes: dict[str, str], named: str
) -> None:
    router = sandbox.register()
    client_id = changes.pop("client_id", router.client_id)
    honest = {"tenant_id": tenant.tenant_id, "audience": tenant.audience, "authority": tenant.authority}
    settings = EntraTenant(**(honest | changes), ca_file=tenant.ca_file)
    assert named in str(await refusal_of(client_of(settings, client_id, ClientSecret(router.secret))))


async def test_an_authority_that_is_not_trusted_is_told_nothing(sandbox: EntraSandbox) -> None:
    tenant = EntraTenant(tenant_id=sandbox.tenant_id, audience=sandbox.api_id, authority=sandbox.url)
    router = sandbox.register()
    refused = await refusal_of(client_of(tenant, router.client_id, ClientSecret(router.secret)))
    assert "cannot be reached: SSLError" in str(refused)
    assert sandbox.requests == {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("error", "discovery"), "does not answer as Entra ID does"),
        (Fault("error", "token"), "does not answer as Entra ID does"),
        (Fault("error", "token", status=429), "is overloaded or fails: temporarily_unavailable"),
        (Fault("garbage", "discovery"), "does not answer as Entra ID does"),
        (Fault("garbage", "token"), "does not answer as Entra ID does"),
        (Fault("refuse", "discovery"), "cannot be reached: ConnectionError"),
        (Fault("refuse", "token"), "cannot be reached: ConnectionError"),
    ],
    ids=lambda value: f"{value.kind}-{value.operation}-{value.status}" if isinstance(value, Fault) else "",
)
async def test_an_authority_that_fails_is_worth_another_try_soon(
    sandbox: EntraSandbox, tenant: EntraTenant, caplog: pytest.LogCaptureFixture, fault: Fault, said: str
) -> None:
    router = sandbox.register()
    sandbox.faults.add(dataclasses.replace(fault))
    with caplog.at_level(logging.DEBUG):
        refused = await refusal_of(client_of(tenant, router.client_id, ClientSecret(router.secret)))
    assert said in str(refused)
    assert refused.retry_after_s == 5
    assert router.secret not in caplog.text
    assert "eyJ" not in caplog.text


async def test_an_authority_that_does_not_answer_is_given_up(sandbox: EntraSandbox, tenant: EntraTenant) -> None:
    router = sandbox.register()
    sandbox.faults.add(Fault("slow", "token", delay_s=600))
    async with asyncio.timeout(60):
        refused = await refusal_of(client_of(tenant, router.client_id, ClientSecret(router.secret)))
    assert "cannot be reached: ReadTimeout" in str(refused)


async def test_a_secret_does_not_follow_a_redirect(sandbox: EntraSandbox, tenant: EntraTenant) -> None:
    router = sandbox.register()
    sandbox.faults.add(Fault("redirect", "token"))
    refused = await refusal_of(client_of(tenant, router.client_id, ClientSecret(router.secret)))
    assert "TooManyRedirects" in str(refused)
    assert sandbox.requests["token"] == 1
