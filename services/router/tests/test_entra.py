"""The router finds out who a name is with service tokens from Entra ID, over TLS."""

from pathlib import Path

import aiohttp
import pytest

import zekt_identity.app
from zekt_common.auth.entra_credential import ClientSecret, ManagedIdentity
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.errors import SettingsError
from zekt_common.kit.host import serving
from zekt_common.kit.settings import HostSettings
from zekt_identity.settings import IdentitySettings
from zekt_router.app import build_service
from zekt_router.settings import RouterSettings
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.entra import EntraSandbox
from zekt_sandbox.entra import serving as serving_entra

TENANT = "11111111-2222-3333-4444-555555555555"
NAMED = {"repositories": [{"repository": "beta/consumer", "enabledAs": ["consumer"]}]}


def client_of(entra: EntraSandbox) -> EntraClient:
    router = entra.register(TOKENS_INSTALLATION)
    tenant = EntraTenant(
        tenant_id=entra.tenant_id, audience=entra.api_id, authority=entra.url, ca_file=str(entra.ca_file)
    )
    return EntraClient(tenant=tenant, client_id=router.client_id, credential=ClientSecret(router.secret))


def identity_of(sandbox: GitHubSandbox, host: HostSettings, tenant: EntraTenant) -> IdentitySettings:
    return IdentitySettings(
        host=host,
        github_api_url=sandbox.url,
        app_id=sandbox.app_id,
        private_key_pem=sandbox.private_key_pem.encode(),
        entra=tenant,
    )


async def test_names_are_resolved_by_a_token_that_entra_id_vouched_for(tmp_path: Path) -> None:
    host = HostSettings(port=0, internal_port=0, data_dir=tmp_path)
    async with GitHubSandbox.start() as sandbox, serving_entra() as entra:
        sandbox.create_repository("beta/consumer")
        sandbox.create_installation("beta")
        client = client_of(entra)
        identity = zekt_identity.app.build_service(identity_of(sandbox, host, client.tenant))
        async with serving([identity], host) as door, aiohttp.ClientSession() as http:
            await door.until_ready()
            settings = RouterSettings(
                host=host, identity_url=door.internal_url, github_api_url=sandbox.url, entra=client
            )
            async with serving([build_service(settings)], host) as hosted:
                await hosted.until_ready()
                headers = {"Authorization": f"Bearer {ensure_operator_token(tmp_path)}"}
                async with http.post(f"{hosted.url}/api/catalog/apply", json=NAMED, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
        assert entra.requests["token"] == 1


def test_entra_id_is_set_whole_or_not_at_all() -> None:
    own: dict[str, str] = {"ZEKT_IDENTITY_URL": "http://127.0.0.1:8079"}
    entra = {
        "ZEKT_ENTRA_TENANT_ID": TENANT,
        "ZEKT_ENTRA_AUDIENCE": TENANT,
        "ZEKT_ENTRA_CLIENT_ID": TENANT,
        "ZEKT_ENTRA_CREDENTIAL": "managed-identity",
    }
    assert RouterSettings.from_env(own).entra is None
    assert RouterSettings.from_env(own | entra).entra == EntraClient(
        tenant=EntraTenant(tenant_id=TENANT, audience=TENANT), client_id=TENANT, credential=ManagedIdentity()
    )
    del entra["ZEKT_ENTRA_CLIENT_ID"]
    with pytest.raises(SettingsError, match="ZEKT_ENTRA_CLIENT_ID is not set, though"):
        RouterSettings.from_env(own | entra)
