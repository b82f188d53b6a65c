"""A delivery with service tokens from Entra ID, over TLS, from the bus to GitHub."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.dispatcher.tests.harness import running
from zekt_common.auth.entra_credential import ClientSecret, ManagedIdentity, WorkloadIdentity
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.errors import SettingsError
from zekt_dispatcher.settings import DispatcherSettings
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.entra import EntraSandbox
from zekt_sandbox.entra import serving as serving_entra

TENANT = "11111111-2222-3333-4444-555555555555"
POD = "system:serviceaccount:zekt:dispatcher"


@pytest.fixture
async def entra() -> AsyncIterator[EntraSandbox]:
    async with serving_entra() as running_tenant:
        yield running_tenant


def tenant_of(entra: EntraSandbox) -> EntraTenant:
    return EntraTenant(
        tenant_id=entra.tenant_id, audience=entra.api_id, authority=entra.url, ca_file=str(entra.ca_file)
    )


async def test_a_pods_own_token_is_all_that_a_delivery_needs(
    sandbox: GitHubSandbox, tmp_path: Path, entra: EntraSandbox
) -> None:
    dispatcher = entra.register(TOKENS_INSTALLATION)
    entra.federate(dispatcher.client_id, POD)
    (tmp_path / "token").write_text(entra.pod_token(POD))
    credential = WorkloadIdentity(tmp_path / "token")
    client = EntraClient(tenant=tenant_of(entra), client_id=dispatcher.client_id, credential=credential)
    async with running(sandbox, tmp_path / "data", entra=client) as deliveries:
        await deliveries.until(await deliveries.ask(), "dispatched")
        await deliveries.until(await deliveries.ask(), "dispatched")
    assert entra.requests["token"] == 1


async def test_a_dispatcher_that_was_not_granted_the_role_delivers_nothing_and_tries_again(
    sandbox: GitHubSandbox, tmp_path: Path, entra: EntraSandbox
) -> None:
    dispatcher = entra.register()
    credential = ClientSecret(dispatcher.secret)
    client = EntraClient(tenant=tenant_of(entra), client_id=dispatcher.client_id, credential=credential)
    async with running(sandbox, tmp_path / "data", entra=client) as deliveries:
        kinds = await deliveries.until(await deliveries.ask(), "postponed")
    assert kinds == ["requested", "postponed"]
    assert sandbox.dispatches() == []


def test_entra_id_is_set_whole_or_not_at_all() -> None:
    own: dict[str, str] = {}
    entra = {
        "ZEKT_ENTRA_TENANT_ID": TENANT,
        "ZEKT_ENTRA_AUDIENCE": TENANT,
        "ZEKT_ENTRA_CLIENT_ID": TENANT,
        "ZEKT_ENTRA_CREDENTIAL": "managed-identity",
    }
    assert DispatcherSettings.from_env(own).entra is None
    assert DispatcherSettings.from_env(own | entra).entra == EntraClient(
        tenant=EntraTenant(tenant_id=TENANT, audience=TENANT), client_id=TENANT, credential=ManagedIdentity()
    )
    del entra["ZEKT_ENTRA_CLIENT_ID"]
    with pytest.raises(SettingsError, match="ZEKT_ENTRA_CLIENT_ID is not set, though"):
        DispatcherSettings.from_env(own | entra)
