"""What Entra ID's tokens must say to be believed; every refusal sounds the same to its sender."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from zekt_common.auth.entra_issuer import EntraIssuer, open_entra_issuer
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.issuer_keys import IssuerKeys
from zekt_common.auth.refusals import IssuerUnreachable, RoleMissing, TokenRefused
from zekt_common.auth.service_verifier import ServiceTokenVerifier
from zekt_common.contracts.identity import TOKENS_INSTALLATION, TOKENS_USER
from zekt_sandbox.entra import Application, EntraSandbox, Fault, serving

OTHER = "00000000-0000-0000-0000-00000000000f"


@pytest.fixture
def router(sandbox: EntraSandbox) -> Application:
    return sandbox.register(TOKENS_INSTALLATION)


@pytest.fixture
async def verifier(tenant: EntraTenant) -> AsyncIterator[ServiceTokenVerifier]:
    async with open_entra_issuer(tenant) as issuer:
        yield ServiceTokenVerifier(issuer)


async def service_of(verifier: ServiceTokenVerifier, token: str) -> str:
    return (await verifier.verify(f"Bearer {token}", role=TOKENS_INSTALLATION)).service


async def assert_refused(verifier: ServiceTokenVerifier, token: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        await verifier.verify(f"Bearer {token}", role=TOKENS_INSTALLATION)
    assert refused.value.detail == "The service token is not accepted."


async def test_a_service_is_called_by_its_application_id_in_both_versions(
    sandbox: EntraSandbox, router: Application, verifier: ServiceTokenVerifier
) -> None:
    assert await service_of(verifier, sandbox.mint(router.client_id)) == router.client_id
    sandbox.token_version = "1.0"
    for audience in (sandbox.api_id, f"api://{sandbox.api_id}"):
        assert await service_of(verifier, sandbox.mint(router.client_id, aud=audience)) == router.client_id


async def test_a_role_that_was_not_granted_is_missing(
    sandbox: EntraSandbox, router: Application, verifier: ServiceTokenVerifier
) -> None:
    header = f"Bearer {sandbox.mint(router.client_id)}"
    with pytest.raises(RoleMissing):
        await verifier.verify(header, role=TOKENS_USER)
    with pytest.raises(RoleMissing):
        await verifier.verify(f"Bearer {sandbox.mint(sandbox.register().client_id)}", role=TOKENS_INSTALLATION)


@pytest.mark.parametrize(
    "claims",
    [
        {"forgery": "none"},
        {"forgery": "hs256"},
        {"forgery": "foreign_key"},
        {"forgery": "unknown_kid"},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"exp": "tomorrow"},
        {"without": ["exp"]},
        {"aud": "https://graph.microsoft.com"},
        {"aud": "api://zekt-identity"},
        {"aud": ["api://zekt-identity"]},
        {"without": ["aud"]},
        {"iss": "https://login.microsoftonline.com/00000000-0000-0000-0000-00000000000f/v2.0"},
        {"iss": "zekt-embedded"},
        {"without": ["iss"]},
        {"tid": OTHER},
        {"without": ["tid"]},
        {"ver": "1.0"},
        {"ver": "3.0"},
        {"without": ["ver"]},
        {"scp": "user_impersonation"},
        {"idtyp": "user"},
        {"sub": "a-pairwise-subject-of-a-person"},
        {"without": ["oid"]},
        {"without": ["azp"]},
        {"roles": TOKENS_INSTALLATION},
        {"roles": [1]},
    ],
    ids=str,
)
async def test_what_is_not_an_applications_token_for_identity_is_refused(
    sandbox: EntraSandbox, router: Application, verifier: ServiceTokenVerifier, claims: dict[str, Any]
) -> None:
    await assert_refused(verifier, sandbox.mint(router.client_id, **claims))
    assert await service_of(verifier, sandbox.mint(router.client_id)) == router.client_id


async def test_a_version_is_not_taken_in_the_form_of_the_other(
    sandbox: EntraSandbox, tenant: EntraTenant, router: Application, verifier: ServiceTokenVerifier
) -> None:
    await assert_refused(verifier, sandbox.mint(router.client_id, iss=tenant.v1_issuer))
    await assert_refused(verifier, sandbox.mint(router.client_id, iss=tenant.v1_issuer, ver="1.0"))
    sandbox.token_version = "1.0"
    await assert_refused(verifier, sandbox.mint(router.client_id, iss=tenant.issuer))
    await assert_refused(verifier, sandbox.mint(router.client_id, ver="2.0"))
    await assert_refused(verifier, sandbox.mint(router.client_id, iss=tenant.issuer, ver="2.0"))


async def test_an_honest_token_of_another_tenant_is_refused(verifier: ServiceTokenVerifier) -> None:
    async with serving() as elsewhere:
        await assert_refused(verifier, elsewhere.mint(elsewhere.register(TOKENS_INSTALLATION).client_id))


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.", "=" * 20_000])
async def test_what_is_no_token_is_refused(verifier: ServiceTokenVerifier, token: str) -> None:
    await assert_refused(verifier, token)


async def test_only_a_key_that_may_be_the_tenants_is_looked_up(
    sandbox: EntraSandbox, router: Application, verifier: ServiceTokenVerifier
) -> None:
    await assert_refused(verifier, sandbox.mint(router.client_id, aud="another"))
    await assert_refused(verifier, sandbox.mint(router.client_id, forgery="none"))
    assert sandbox.requests["keys"] == 0


async def test_a_rotated_key_is_found_and_unknown_ones_cost_one_look(
    sandbox: EntraSandbox, tenant: EntraTenant, router: Application, trusting: aiohttp.ClientSession
) -> None:
    now = [0.0]
    verifier = ServiceTokenVerifier(EntraIssuer(tenant, IssuerKeys(trusting, tenant.issuer, monotonic=lambda: now[0])))
    await service_of(verifier, sandbox.mint(router.client_id))
    sandbox.rotate_keys()
    now[0] += 11
    await service_of(verifier, sandbox.mint(router.client_id))
    assert sandbox.requests["keys"] == 2
    now[0] += 11
    for _ in range(20):
        await assert_refused(verifier, sandbox.mint(router.client_id, forgery="unknown_kid"))
    assert sandbox.requests["keys"] == 3


async def test_a_retired_key_is_believed_no_more_once_keys_are_fetched_again(
    sandbox: EntraSandbox, tenant: EntraTenant, router: Application, trusting: aiohttp.ClientSession
) -> None:
    now = [0.0]
    verifier = ServiceTokenVerifier(EntraIssuer(tenant, IssuerKeys(trusting, tenant.issuer, monotonic=lambda: now[0])))
    old = sandbox.mint(router.client_id)
    await service_of(verifier, old)
    sandbox.rotate_keys(retire_old=True)
    now[0] += 601
    await assert_refused(verifier, old)


async def test_nothing_is_known_while_the_keys_cannot_be_had(
    sandbox: EntraSandbox, router: Application, verifier: ServiceTokenVerifier
) -> None:
    sandbox.faults.add(Fault("refuse", "keys", count=None))
    with pytest.raises(IssuerUnreachable):
        await service_of(verifier, sandbox.mint(router.client_id))


@pytest.mark.parametrize(("off_s", "is_accepted"), [(59, True), (61, False)])
async def test_clocks_may_be_a_minute_apart(
    sandbox: EntraSandbox, tenant: EntraTenant, router: Application, off_s: int, *, is_accepted: bool
) -> None:
    now = int(time.time())
    async with open_entra_issuer(tenant) as issuer:
        verifier = ServiceTokenVerifier(issuer, clock=lambda: datetime.fromtimestamp(now, UTC))
        late = sandbox.mint(router.client_id, exp=now - off_s)
        early = sandbox.mint(router.client_id, nbf=now + off_s)
        for token in (late, early):
            if is_accepted:
                await service_of(verifier, token)
            else:
                await assert_refused(verifier, token)
