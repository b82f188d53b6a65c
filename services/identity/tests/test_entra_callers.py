"""Services that Entra ID vouches for, at identity's internal door: who is let in, who is not, and what is noted."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from zekt_common.auth.entra_credential import ClientSecret
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.auth.service_access import service_tokens
from zekt_common.contracts.identity import TOKENS_INSTALLATION, TOKENS_USER, InstallationTokenRequest
from zekt_common.kit.identity_client import IdentityClient, TokensUnavailable
from zekt_identity.audit import AccessRefused, TokenGiven
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.entra import Application, EntraSandbox, Fault
from zekt_sandbox.entra import serving as serving_entra

from .conftest import Running, identity_at

ASKED = InstallationTokenRequest(repository="beta/consumer", permissions={"contents": "write"}, purpose="dispatch")
DOORS = {"installation": TOKENS_INSTALLATION, "user": TOKENS_USER}
ATTACKS: dict[str, dict[str, Any]] = {
    "unsigned": {"forgery": "none"},
    "signed with the public key as a secret": {"forgery": "hs256"},
    "signed with another key under a known id": {"forgery": "foreign_key"},
    "signed with an unknown key": {"forgery": "unknown_kid"},
    "expired": {"exp": 1},
    "not valid yet": {"nbf": 4_000_000_000},
    "for another audience": {"aud": "https://graph.microsoft.com"},
    "for the embedded issuer's audience": {"aud": "api://zekt-identity"},
    "of another issuer": {"iss": "https://login.microsoftonline.com/00000000-0000-0000-0000-00000000000f/v2.0"},
    "of the embedded issuer by name": {"iss": "zekt-embedded"},
    "of another tenant": {"tid": "00000000-0000-0000-0000-00000000000f"},
    "of version 2.0 as if of 1.0": {"ver": "1.0"},
    "a person's": {"scp": "user_impersonation"},
}


@pytest.fixture
async def entra() -> AsyncIterator[EntraSandbox]:
    async with serving_entra() as running:
        yield running


@pytest.fixture
def tenant(entra: EntraSandbox) -> EntraTenant:
    return EntraTenant(
        tenant_id=entra.tenant_id,
        audience=f"api://{entra.api_id}",
        authority=entra.url,
        ca_file=str(entra.ca_file),
    )


@pytest.fixture
async def guarded(sandbox: GitHubSandbox, tmp_path: Path, tenant: EntraTenant) -> AsyncIterator[Running]:
    async with identity_at(sandbox, tmp_path, entra=tenant) as running:
        await running.hosted.until_ready()
        yield running


def client_at(url: str, http: aiohttp.ClientSession, tenant: EntraTenant, service: Application) -> IdentityClient:
    """A client as dispatcher and router have it."""
    entra = EntraClient(tenant=tenant, client_id=service.client_id, credential=ClientSecret(service.secret))
    return IdentityClient(http, url, service_tokens(entra, Path(), service="dispatcher", roles=[TOKENS_INSTALLATION]))


async def answer_to(identity: Running, door: str, token: str) -> tuple[int, str, str]:
    """Status, code and detail."""
    url = f"{identity.hosted.internal_url}/internal/tokens/{door}"
    body = {"repository": "beta/consumer", "permissions": {"contents": "write"}, "purpose": "attack"}
    async with identity.http.post(url, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
        refused = await answer.json()
        return answer.status, refused["error"], refused["detail"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_a_service_is_given_an_installation_token_and_noted_by_its_application_id(
    guarded: Running, entra: EntraSandbox, tenant: EntraTenant, version: Any
) -> None:
    entra.token_version = version
    dispatcher = entra.register(TOKENS_INSTALLATION)
    client = client_at(guarded.hosted.internal_url, guarded.http, tenant, dispatcher)
    tokens = await asyncio.gather(*(client.token(ASKED) for _ in range(50)))
    assert {token.installation_id for token in tokens} == {72}
    assert entra.requests["token"] == 1
    assert {given.actor for given in await guarded.events(TokenGiven)} == {dispatcher.client_id}


@pytest.mark.parametrize("door", DOORS)
async def test_attacks_hear_nothing_that_helps_and_are_noted(guarded: Running, entra: EntraSandbox, door: str) -> None:
    service = entra.register(*DOORS.values())
    told = {}
    for attack, claims in ATTACKS.items():
        guarded.clock.advance(minutes=1)
        told[attack] = await answer_to(guarded, door, entra.mint(service.client_id, **claims))
    assert set(told.values()) == {(401, "token_refused", "The service token is not accepted.")}, told
    noted = (f"POST /internal/tokens/{door}", "token_refused", 0)
    assert await guarded.refusals() == [noted] * len(ATTACKS)


@pytest.mark.parametrize(("door", "role"), DOORS.items())
async def test_a_role_opens_its_own_door_alone(guarded: Running, entra: EntraSandbox, door: str, role: str) -> None:
    asking = []
    for granted in ([], [other for other in DOORS.values() if other != role], [role.lower()], ["Tokens.*"]):
        guarded.clock.advance(minutes=1)
        asking.append(entra.register(*granted).client_id)
        status, error, _ = await answer_to(guarded, door, entra.mint(asking[-1]))
        assert (status, error) == (403, "role_missing")
    assert await guarded.refusals() == [(f"POST /internal/tokens/{door}", "role_missing", 0)] * 4
    assert [noted.actor for noted in await guarded.events(AccessRefused)] == asking


async def test_where_entra_id_vouches_the_data_directorys_issuer_does_not(guarded: Running) -> None:
    status, _, refused = await guarded.post({"repository": "beta/consumer", "permissions": {}, "purpose": "x"})
    assert (status, refused["error"]) == (401, "token_refused")


async def test_where_the_data_directorys_issuer_vouches_entra_id_does_not(
    identity: Running, entra: EntraSandbox
) -> None:
    token = entra.mint(entra.register(TOKENS_INSTALLATION).client_id)
    assert (await answer_to(identity, "installation", token))[:2] == (401, "token_refused")


async def test_a_key_that_entra_id_has_rotated_in_is_found(
    guarded: Running, entra: EntraSandbox, tenant: EntraTenant
) -> None:
    entra.rotate_keys()
    client = client_at(guarded.hosted.internal_url, guarded.http, tenant, entra.register(TOKENS_INSTALLATION))
    assert (await client.token(ASKED)).installation_id == 72


async def test_while_the_keys_cannot_be_had_nobody_is_let_in_and_callers_are_told_to_come_back(
    guarded: Running, entra: EntraSandbox, tenant: EntraTenant
) -> None:
    client = client_at(guarded.hosted.internal_url, guarded.http, tenant, entra.register(TOKENS_INSTALLATION))
    entra.faults.add(Fault("error", "keys", count=None))
    with pytest.raises(TokensUnavailable, match="issuer_unreachable") as unavailable:
        await client.token(ASKED)
    assert unavailable.value.retry_after_s > 0
    assert await guarded.events(TokenGiven) == []


async def test_a_service_without_its_secret_names_the_setting_and_asks_identity_nothing(
    guarded: Running, entra: EntraSandbox, tenant: EntraTenant
) -> None:
    service = entra.register(TOKENS_INSTALLATION)
    service.secret = "rotated-away"
    stale = Application(service.client_id, service.object_id, [], secret="st4le-s3cret")
    client = client_at(guarded.hosted.internal_url, guarded.http, tenant, stale)
    refused = pytest.raises(TokensUnavailable, match="its log says why")
    with structlog.testing.capture_logs() as logs, refused as unavailable:
        await client.token(ASKED)
    assert "st4le-s3cret" not in f"{logs} {unavailable.value!r} {unavailable.value.__cause__!r}"
    [logged] = [entry for entry in logs if entry["event"] == "service_token_not_acquired"]
    assert logged["reason"].endswith("(invalid_client, AADSTS7000215): see ZEKT_ENTRA_CLIENT_SECRET")
    assert await guarded.refusals() == []


@pytest.mark.slow
async def test_a_process_takes_entra_id_from_its_settings(
    sandbox: GitHubSandbox, tmp_path: Path, entra: EntraSandbox, tenant: EntraTenant
) -> None:
    dispatcher = entra.register(TOKENS_INSTALLATION)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zekt_identity", env=environment(sandbox, tmp_path, tenant), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        ready = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        url = ready.rpartition("internal ")[2].strip().rstrip(")")
        async with aiohttp.ClientSession() as http:
            token = await client_at(url, http, tenant, dispatcher).token(ASKED)
        assert token.installation_id == 72
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert process.returncode == 0
        assert not any(secret in err.decode() for secret in (token.token, dispatcher.secret, "eyJ"))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def environment(sandbox: GitHubSandbox, directory: Path, tenant: EntraTenant) -> dict[str, str]:
    key_file = directory / "app.pem"
    key_file.write_text(sandbox.private_key_pem)
    own = {
        "ZEKT_PORT": "0",
        "ZEKT_INTERNAL_PORT": "0",
        "ZEKT_DATA_DIR": str(directory / "zekt"),
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_ENTRA_TENANT_ID": tenant.tenant_id,
        "ZEKT_ENTRA_AUDIENCE": tenant.audience,
        "ZEKT_ENTRA_AUTHORITY": tenant.authority,
        "ZEKT_ENTRA_CA_FILE": tenant.ca_file or "",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    return inherited | own
