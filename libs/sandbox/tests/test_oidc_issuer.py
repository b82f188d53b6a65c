from typing import Any

import jwt
import pytest

from zekt_sandbox import GitHubSandbox

CI = ".github/workflows/ci.yml"
NAMED_IN_THE_CONTRACT = {
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "run_id",
    "run_attempt",
    "workflow",
    "workflow_ref",
    "job_workflow_ref",
    "ref",
    "sha",
    "actor",
    "event_name",
    "sub",
}


async def verify(caller: Any, sandbox: GitHubSandbox, token: str) -> dict[str, Any]:
    discovery = (await caller.call("GET", sandbox.issuer + "/.well-known/openid-configuration")).json
    assert discovery["issuer"] == sandbox.issuer
    keys = jwt.PyJWKSet.from_dict((await caller.call("GET", discovery["jwks_uri"])).json)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience="api://zekt", issuer=discovery["issuer"]
    )
    return claims


@pytest.fixture
async def run_id(sandbox: GitHubSandbox) -> int:
    return (await sandbox.start_run("acme/provider", CI, send=False)).id


async def test_a_token_verifies_by_discovery_and_names_its_run(
    sandbox: GitHubSandbox, caller: Any, run_id: int
) -> None:
    claims = await verify(caller, sandbox, sandbox.mint_oidc_token(run_id))
    repository = sandbox.create_repository("acme/second").owner
    assert claims.keys() >= NAMED_IN_THE_CONTRACT
    assert (claims["repository"], claims["run_id"], claims["run_attempt"]) == ("acme/provider", str(run_id), "1")
    assert claims["repository_owner_id"] == str(repository.id)
    assert claims["workflow_ref"] == "acme/provider/.github/workflows/ci.yml@refs/heads/main"
    assert claims["exp"] - claims["iat"] == 300


async def test_the_subject_carries_immutable_ids_for_newer_repositories_only(
    sandbox: GitHubSandbox, caller: Any, run_id: int
) -> None:
    newer = await verify(caller, sandbox, sandbox.mint_oidc_token(run_id))
    assert newer["sub"].startswith(f"repo:acme@{newer['repository_owner_id']}/provider@{newer['repository_id']}:ref:")
    sandbox.create_repository("acme/older", immutable_subject=False)
    sandbox.create_workflow("acme/older", CI)
    run = await sandbox.start_run("acme/older", CI, send=False)
    older = await verify(caller, sandbox, sandbox.mint_oidc_token(run.id))
    assert older["sub"] == "repo:acme/older:ref:refs/heads/main"


async def test_a_rerun_shows_in_the_token(sandbox: GitHubSandbox, caller: Any, run_id: int) -> None:
    await sandbox.complete_run(run_id, conclusion="failure")
    await sandbox.rerun(run_id)
    assert (await verify(caller, sandbox, sandbox.mint_oidc_token(run_id)))["run_attempt"] == "2"


async def test_claims_can_be_replaced_and_left_out(sandbox: GitHubSandbox, caller: Any, run_id: int) -> None:
    token = sandbox.mint_oidc_token(run_id, claims={"repository_id": "1"}, without=["sub"])
    claims = await verify(caller, sandbox, token)
    assert claims["repository_id"] == "1"
    assert "sub" not in claims


@pytest.mark.parametrize("forgery", ["none", "hs256", "foreign_key", "unknown_kid"])
async def test_a_forged_token_does_not_verify(sandbox: GitHubSandbox, caller: Any, run_id: int, forgery: Any) -> None:
    forged = sandbox.mint_oidc_token(run_id, forgery=forgery)
    with pytest.raises((jwt.InvalidTokenError, KeyError)):
        await verify(caller, sandbox, forged)


@pytest.mark.parametrize(
    "options", [{"expires_in_s": -1}, {"audience": "api://other"}, {"claims": {"iss": "https://other"}}]
)
async def test_a_token_past_its_time_or_of_elsewhere_does_not_verify(
    sandbox: GitHubSandbox, caller: Any, run_id: int, options: Any
) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        await verify(caller, sandbox, sandbox.mint_oidc_token(run_id, **options))


async def test_an_old_key_verifies_after_rotation_until_it_is_retired(
    sandbox: GitHubSandbox, caller: Any, run_id: int
) -> None:
    old = sandbox.mint_oidc_token(run_id)
    kid = sandbox.rotate_oidc_key()
    assert jwt.get_unverified_header(sandbox.mint_oidc_token(run_id))["kid"] == kid
    await verify(caller, sandbox, old)
    sandbox.rotate_oidc_key(retire_old=True)
    with pytest.raises(KeyError):
        await verify(caller, sandbox, old)


async def test_a_moved_clock_leaves_jwts_verifiable(sandbox: GitHubSandbox, caller: Any, run_id: int) -> None:
    sandbox.advance_clock(86_400)
    assert (await verify(caller, sandbox, sandbox.mint_oidc_token(run_id)))["run_id"] == str(run_id)
    assert (await caller.app("GET", "/app")).status == 200
