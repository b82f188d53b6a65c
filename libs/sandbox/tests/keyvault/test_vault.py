"""The stand-in as the official SDK meets it, and as those do who have no token."""

import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.keyvault.keys.aio import KeyClient
from azure.keyvault.keys.crypto import KeyWrapAlgorithm
from libs.common.tests.azure.identity import Certificate, RecordingCredential
from libs.common.tests.azure.vault import URL, connected_to

from zekt_sandbox.keyvault import RESOURCE, KeyVaultSandbox, NotLoopbackError, serving
from zekt_sandbox.keyvault.control import ROUTES
from zekt_sandbox.keyvault.faults import KINDS

OAEP = KeyWrapAlgorithm.rsa_oaep_256
README = (Path(__file__).parents[2] / "README.md").read_text().partition("## Key Vault\n")[2].partition("\n## ")[0]


@pytest.fixture
async def client(sandbox: KeyVaultSandbox, certificate: Certificate) -> AsyncIterator[KeyClient]:
    async with connected_to(sandbox.port, certificate.path) as way:
        assert way.credential is not None
        async with KeyClient(URL, way.credential, transport=way.transport, retry_total=0) as connected:
            yield connected


async def test_versions_are_made_listed_and_switched_off(client: KeyClient) -> None:
    first = await client.create_rsa_key("master", size=2048)
    second = await client.rotate_key("master")
    assert (await client.get_key("master")).id == second.id
    listed = [each async for each in client.list_properties_of_key_versions("master")]
    assert {each.id for each in listed} == {first.id, second.id}
    await client.update_key_properties("master", first.properties.version, enabled=False)
    assert not (await client.get_key("master", first.properties.version)).properties.enabled


async def test_what_is_wrapped_here_or_there_is_unwrapped_there(client: KeyClient, sandbox: KeyVaultSandbox) -> None:
    key = await client.create_rsa_key("master", size=2048)
    crypto = client.get_cryptography_client("master", key_version=key.properties.version)
    wrapped = await crypto.wrap_key(OAEP, b"secret")
    assert (await crypto.unwrap_key(OAEP, wrapped.encrypted_key)).key == b"secret"
    assert (sandbox.requests["wrapkey"], sandbox.requests["unwrapkey"]) == (0, 1)


async def test_a_version_that_is_off_refuses_and_another_does_not_fit(client: KeyClient) -> None:
    first = await client.create_rsa_key("master", size=2048)
    crypto = client.get_cryptography_client("master", key_version=first.properties.version)
    wrapped = (await crypto.wrap_key(OAEP, b"secret")).encrypted_key
    second = await client.rotate_key("master")
    other = client.get_cryptography_client("master", key_version=second.properties.version)
    with pytest.raises(HttpResponseError) as misfit:
        await other.unwrap_key(OAEP, wrapped)
    assert misfit.value.status_code == 400
    await client.update_key_properties("master", first.properties.version, enabled=False)
    with pytest.raises(HttpResponseError) as off:
        await crypto.unwrap_key(OAEP, wrapped)
    assert off.value.status_code == 403


async def test_a_key_that_is_not_there_is_not_found(client: KeyClient) -> None:
    for ask in (client.get_key, client.rotate_key):
        with pytest.raises(ResourceNotFoundError):
            await ask("absent")


async def test_who_has_no_token_is_told_whom_to_ask_for_one(sandbox: KeyVaultSandbox, trust: ssl.SSLContext) -> None:
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer made-up"}):
            url = f"https://127.0.0.1:{sandbox.port}/keys/master?api-version=7.5"
            async with http.get(url, headers=headers, ssl=trust) as answer:
                assert answer.status == 401
                challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer authorization="https://login.microsoftonline.com/')
        assert f'resource="{RESOURCE}"' in challenge


async def test_a_token_for_another_service_is_refused(sandbox: KeyVaultSandbox, certificate: Certificate) -> None:
    elsewhere = RecordingCredential(audience="https://graph.microsoft.com")
    async with (
        connected_to(sandbox.port, certificate.path, elsewhere) as way,
        KeyClient(URL, elsewhere, transport=way.transport, retry_total=0) as client,
    ):
        with pytest.raises(ClientAuthenticationError):
            await client.get_key("master")
    assert elsewhere.scopes
    assert {claims["aud"] for claims in sandbox.token_claims} == {"https://graph.microsoft.com"}


async def test_faults_strike_what_they_are_aimed_at_as_often_as_ordered(
    client: KeyClient, sandbox: KeyVaultSandbox
) -> None:
    sandbox.add_version("master")
    sandbox.faults.add("error", operation="get", status=429)
    sandbox.faults.add("drop_after", operation="rotate")
    with pytest.raises(HttpResponseError) as throttled:
        await client.get_key("master")
    assert throttled.value.status_code == 429
    await client.get_key("master")
    with pytest.raises(Exception, match="disconnected"):
        await client.rotate_key("master")
    assert len(sandbox.versions("master")) == 2


async def test_faults_are_ordered_over_http_too(sandbox: KeyVaultSandbox, trust: ssl.SSLContext) -> None:
    url = f"https://127.0.0.1:{sandbox.port}/_faults"
    async with aiohttp.ClientSession() as http:

        async def ask(method: str, **body: Any) -> tuple[int, dict[str, Any]]:
            async with http.request(method, url, json=body, ssl=trust) as answer:
                return answer.status, await answer.json()

        sandbox.faults.add("error", operation="get", status=429, retry_after_s=7)
        assert (await ask("POST", kind="slow", delay_s=0.5))[1]["delay_s"] == 0.5
        assert (await ask("POST", kind="unheard of"))[0] == 400
        assert (await ask("POST", kind="slow", operation="sign"))[0] == 400
        assert len((await ask("GET"))[1]["faults"]) == 2
        assert (await ask("DELETE"))[0] == 200
        assert (await ask("PATCH"))[0] == 404
    assert sandbox.faults.active == []


async def test_nobody_else_can_reach_it(certificate: Certificate) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.path, certificate.key)
    with pytest.raises(NotLoopbackError, match="loopback only"):
        async with serving(tls, host="0.0.0.0"):  # noqa: S104 - refused, which is the point
            pytest.fail("it listens")


@pytest.mark.slow
def test_the_process_says_when_it_is_ready_and_what_it_is_for(certificate_options: list[str | Path]) -> None:
    command = [sys.executable, "-m", "zekt_sandbox.keyvault", "--port", "0", "--key", "master", *certificate_options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["port"] > 0
        process.terminate()
        rest, said = process.communicate()
    assert (process.returncode, rest) == (0, "")
    assert "for tests and local trials" in said


def test_every_control_and_kind_of_fault_is_named(sandbox: KeyVaultSandbox) -> None:
    assert all(f"`{method} {path}`" in README for method, path in ROUTES)
    assert {kind for kind in KINDS if f"`{kind}`" not in README} == set()
    assert all(hasattr(sandbox, name) for name in ("requests", "challenges", "token_claims", "add_version", "versions"))
