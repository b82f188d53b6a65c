"""Managed identities, faults, TLS, and the stand-in as a process."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from zekt_sandbox.entra import EntraSandbox, Fault, NotLoopbackError, UnknownApplicationError, serving

HEADERS = {"Metadata": "true"}


def is_there(path: str) -> bool:
    return Path(path).exists()


async def ask(
    http: aiohttp.ClientSession, sandbox: EntraSandbox, client_id: str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    query = {"api-version": "2018-02-01", "resource": f"api://{sandbox.api_id}", "client_id": client_id}
    url = f"{sandbox.url}/metadata/identity/oauth2/token"
    async with http.get(url, params=query, headers=HEADERS if headers is None else headers) as answer:
        return answer.status, await answer.json()


async def test_a_managed_identity_is_given_a_token(http: aiohttp.ClientSession, sandbox: EntraSandbox) -> None:
    identity = sandbox.register_managed_identity("Tokens.User")
    status, answer = await ask(http, sandbox, identity.client_id)
    assert (status, answer["client_id"], answer["expires_in"]) == (200, identity.client_id, "3599")


async def test_the_metadata_endpoint_knows_identities_alone_and_wants_its_header(
    http: aiohttp.ClientSession, sandbox: EntraSandbox
) -> None:
    identity = sandbox.register_managed_identity()
    assert (await ask(http, sandbox, identity.client_id, headers={}))[0] == 400
    for client_id in (sandbox.register().client_id, "unheard-of"):
        unknown = {"error": "invalid_request", "error_description": "Identity not found"}
        assert await ask(http, sandbox, client_id) == (400, unknown)


async def test_faults_strike_the_operation_they_are_meant_for_and_are_used_up(
    http: aiohttp.ClientSession, sandbox: EntraSandbox
) -> None:
    sandbox.faults.add(Fault("error", "keys", status=503, retry_after_s=7))
    discovery = f"{sandbox.url}/{sandbox.tenant_id}/v2.0/.well-known/openid-configuration"
    keys = f"{sandbox.url}/{sandbox.tenant_id}/discovery/v2.0/keys"
    async with http.get(discovery) as answer:
        assert answer.status == 200
    async with http.get(keys) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    async with http.get(keys) as answer:
        assert answer.status == 200
    assert sandbox.requests == {"discovery": 1, "keys": 2}


async def test_connections_are_cut_and_answers_garbled_until_faults_are_cleared(
    http: aiohttp.ClientSession, sandbox: EntraSandbox
) -> None:
    keys = f"{sandbox.url}/{sandbox.tenant_id}/discovery/v2.0/keys"
    sandbox.faults.add(Fault("garbage", count=1))
    async with http.get(keys) as answer:
        with pytest.raises(json.JSONDecodeError):
            await answer.json()
    sandbox.faults.add(Fault("refuse", count=None))
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await http.get(keys)
    sandbox.faults.clear()
    sandbox.faults.add(Fault("slow", delay_s=0.01))
    async with http.get(keys) as answer:
        assert answer.status == 200


async def test_who_does_not_trust_the_ca_does_not_connect(sandbox: EntraSandbox) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(sandbox.url)


async def test_it_listens_on_loopback_alone() -> None:
    with pytest.raises(NotLoopbackError, match=r"not on '0\.0\.0\.0'"):
        async with serving(host="0.0.0.0"):  # noqa: S104 - to see it refused
            pytest.fail("it listens to the world")


async def test_only_registered_applications_are_minted_for(sandbox: EntraSandbox) -> None:
    with pytest.raises(UnknownApplicationError):
        sandbox.mint("unheard-of")
    assert sandbox.register().secret not in repr(sandbox.register())


@pytest.mark.slow
async def test_a_process_tells_where_it_is_and_stops_when_told() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zekt_sandbox.entra", "--port", "0", "--role", "Tokens.User", stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        state = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert set(state) == {"authority", "caFile", "tenantId", "audience", "clientId", "clientSecret"}
        assert is_there(state["caFile"])
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert process.returncode == 0
        assert b"for tests and local trials" in err
        assert not is_there(state["caFile"])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
