"""What is proven here: for which scope a token is asked, and that it is presented; not that Entra ID would give it."""

import dataclasses
import ssl
from collections.abc import Iterator

import pytest
from azure.identity.aio import DefaultAzureCredential
from libs.common.tests.azure.azurite import azurite_or_skip
from libs.common.tests.azure.identity import Certificate, RecordingCredential, certify

from zekt_common.adapters.azure_connections import AzureConnections, connected, connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.cosmos_client import open_cosmos
from zekt_common.adapters.servicebus_bus import open_servicebus_bus
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.errors import BackendRefused, BackendUnavailable
from zekt_sandbox import cosmos, servicebus
from zekt_sandbox.azurite import Azurite

BLOB_AUDIENCE = "https://storage.azure.com"
SERVICEBUS_SCOPE = "https://servicebus.azure.net//.default"
COSMOS_SCOPE = "https://127.0.0.1/.default"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure_azurite(certificate: Certificate) -> Iterator[Azurite]:
    with azurite_or_skip(tls=(certificate.path, certificate.key)) as running:
        yield running


def ways(certificate: Certificate, credential: RecordingCredential, **endpoints: str) -> AzureConnections:
    """The connections as production makes them, trusting the tests' certificate."""
    nowhere = {
        "servicebus_namespace": "zekt.servicebus.windows.net",
        "cosmos_endpoint": "https://127.0.0.1:1",
        "blob_url": "https://127.0.0.1:1/zekt",
    }
    made = connected(AzureSettings(**(nowhere | endpoints)), credential)
    trust = str(certificate.path)
    return AzureConnections(
        servicebus=dataclasses.replace(made.servicebus, ca_file=trust),
        cosmos=dataclasses.replace(made.cosmos, ca_file=trust),
        cosmos_keys=dataclasses.replace(made.cosmos_keys, ca_file=trust),
        blob=dataclasses.replace(made.blob, ca_file=trust),
    )


def serve_tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.path, certificate.key)
    return context


async def test_blob_storage_is_given_a_token_for_storage(certificate: Certificate, secure_azurite: Azurite) -> None:
    credential = RecordingCredential()
    async with BlobContainer(ways(certificate, credential, blob_url=secure_azurite.url).blob) as container:
        await container.ensure()
        await container.check()
    assert set(credential.scopes) == {f"{BLOB_AUDIENCE}/.default"}


async def test_blob_storage_refuses_a_token_that_is_meant_for_another(
    certificate: Certificate, secure_azurite: Azurite
) -> None:
    credential = RecordingCredential(audience="https://graph.microsoft.com")
    async with BlobContainer(ways(certificate, credential, blob_url=secure_azurite.url).blob) as container:
        with pytest.raises(BackendRefused, match=r"ZEKT_BLOB_URL: .* refuses us"):
            await container.check()


async def test_cosmos_is_given_a_token_for_its_account(certificate: Certificate) -> None:
    credential = RecordingCredential()
    async with cosmos.serving(token_audience="https://127.0.0.1", tls=serve_tls(certificate)) as account:
        way = ways(certificate, credential, cosmos_endpoint=account.url).cosmos
        async with open_cosmos(way) as database:
            await database.client.create_database_if_not_exists(database.proxy.id)
        assert {claims["aud"] for claims in account.token_claims} == {"https://127.0.0.1"}
    assert set(credential.scopes) == {COSMOS_SCOPE}


async def test_cosmos_refuses_a_token_that_is_meant_for_another(certificate: Certificate) -> None:
    credential = RecordingCredential()
    async with cosmos.serving(token_audience="https://elsewhere.example", tls=serve_tls(certificate)) as account:
        way = ways(certificate, credential, cosmos_endpoint=account.url).cosmos
        with pytest.raises(BackendUnavailable, match=r"ZEKT_COSMOS_ENDPOINT: .* refuses our key or token"):
            async with open_cosmos(way):
                pytest.fail("it was let in")


async def test_keys_leave_no_service_to_the_identity() -> None:
    settings = AzureSettings(
        servicebus_connection="Endpoint=sb://zekt/;SharedAccessKeyName=zekt;SharedAccessKey=c2VjcmV0",
        cosmos_endpoint="https://zekt.documents.azure.com",
        cosmos_key="c2VjcmV0",
        blob_connection="AccountName=zekt;AccountKey=c2VjcmV0",
    )
    async with connections(settings) as made:
        assert made.servicebus.credential is made.cosmos.credential is made.blob.credential is None


async def test_services_without_a_key_share_one_default_identity() -> None:
    settings = AzureSettings(
        servicebus_namespace="zekt.servicebus.windows.net",
        cosmos_endpoint="https://zekt.documents.azure.com",
        blob_url="https://zekt.blob.core.windows.net",
    )
    async with connections(settings) as made:
        assert isinstance(made.blob.credential, DefaultAzureCredential)
        assert made.servicebus.credential is made.cosmos.credential is made.blob.credential


async def test_service_bus_is_given_a_token_for_service_bus(certificate: Certificate) -> None:
    credential = RecordingCredential()
    tls = serve_tls(certificate)
    async with servicebus.serving(emulator_config(), token_audience=servicebus.AUDIENCE, tls=tls) as namespace:
        way = dataclasses.replace(ways(certificate, credential).servicebus, endpoint=f"sb://127.0.0.1:{namespace.port}")
        async with open_servicebus_bus(way, publishes_to=["ingress"]):
            pass
        assert {claims["aud"] for claims in namespace.token_claims} == {servicebus.AUDIENCE}
    assert set(credential.scopes) == {SERVICEBUS_SCOPE}


async def test_service_bus_refuses_a_token_that_is_meant_for_another(certificate: Certificate) -> None:
    credential = RecordingCredential(audience="https://graph.microsoft.com")
    tls = serve_tls(certificate)
    async with servicebus.serving(emulator_config(), token_audience=servicebus.AUDIENCE, tls=tls) as namespace:
        way = dataclasses.replace(ways(certificate, credential).servicebus, endpoint=f"sb://127.0.0.1:{namespace.port}")
        with pytest.raises(BackendUnavailable, match="ZEKT_SERVICEBUS_NAMESPACE"):
            async with open_servicebus_bus(way, publishes_to=["ingress"]):
                pytest.fail("it was let in")
