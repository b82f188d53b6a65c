import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from zekt_sandbox.cosmos import CosmosSandbox, serving

AUDIENCE = "https://127.0.0.1"


class Credential:
    """An Entra ID credential that is given a token for whatever scope the SDK asks for."""

    def __init__(self, *, lifetime_s: int = 3600, audience: str | None = None) -> None:
        self.scopes: list[str] = []
        self._lifetime_s = lifetime_s
        self._audience = audience

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        claims = {"aud": self._audience or scopes[0].removesuffix("/.default"), "exp": time.time() + self._lifetime_s}
        token = jwt.encode({**claims, "oid": "workload"}, "a key that nobody checks, long enough for HS256")
        return AccessToken(token, int(time.time()) + 3600)

    async def close(self) -> None:
        """The SDK closes what it was given."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zekt-sandbox")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, no_encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_encryption))
    return certificate_file, key_file


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
async def sandbox(tls: ssl.SSLContext) -> AsyncIterator[CosmosSandbox]:
    async with serving(tls=tls, token_audience=AUDIENCE) as running:
        yield running


async def connect(sandbox: CosmosSandbox, credential: Any, certificate: tuple[Path, Path]) -> None:
    client = CosmosClient(sandbox.url, credential=credential, connection_verify=str(certificate[0]))
    try:
        await client.create_database("zekt")
    finally:
        await client.close()  # `async with` would leave the connection open where the first request is refused


async def test_a_token_for_the_account_is_taken_and_what_it_says_recorded(
    sandbox: CosmosSandbox, certificate: tuple[Path, Path]
) -> None:
    credential = Credential()
    await connect(sandbox, credential, certificate)
    assert set(credential.scopes) == {"https://127.0.0.1/.default"}
    assert {claims["aud"] for claims in sandbox.token_claims} == {AUDIENCE}
    assert {claims["oid"] for claims in sandbox.token_claims} == {"workload"}


@pytest.mark.parametrize(
    "credential",
    [Credential(audience="https://other"), Credential(lifetime_s=-60)],
    ids=["another audience", "expired"],
)
async def test_other_tokens_are_refused(
    sandbox: CosmosSandbox, certificate: tuple[Path, Path], credential: Credential
) -> None:
    with pytest.raises(CosmosHttpResponseError, match="expired or meant for another audience") as refused:
        await connect(sandbox, credential, certificate)
    assert refused.value.status_code == 401


async def test_the_key_is_taken_over_tls_as_well(sandbox: CosmosSandbox, certificate: tuple[Path, Path]) -> None:
    assert sandbox.url.startswith("https://127.0.0.1:")
    await connect(sandbox, sandbox.key, certificate)
    assert sandbox.token_claims == []


async def test_tokens_are_refused_unless_an_audience_is_configured(
    tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    async with serving(tls=tls) as sandbox:
        with pytest.raises(CosmosHttpResponseError, match="without Entra ID tokens") as refused:
            await connect(sandbox, Credential(), certificate)
        assert refused.value.status_code == 401


async def test_the_sdk_sends_no_token_without_tls(certificate: tuple[Path, Path]) -> None:
    async with serving(token_audience=AUDIENCE) as sandbox:
        with pytest.raises(ServiceRequestError, match="not permitted for non-TLS"):
            await connect(sandbox, Credential(), certificate)
        assert sandbox.requests.total() == 0
