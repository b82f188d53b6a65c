"""The Actions OIDC issuer: keys, discovery, and tokens, honest or forged on request."""

import uuid
from typing import Any

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.model import Repository, WorkflowRun
from zekt_sandbox.token_keys import KeyRing

AUDIENCE = "api://zekt"
LIFE_S = 300


class OidcIssuer(KeyRing):
    """The issuer, with its keys."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.url = ""

    def discovery(self) -> dict[str, Any]:
        """The OpenID configuration."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "repository", "run_id"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def claims(self, run: WorkflowRun, *, audience: str = AUDIENCE, expires_in_s: int = LIFE_S) -> dict[str, Any]:
        """All claims that GitHub puts into a token of a job of `run`."""
        now = int(self._clock.machine_now())
        times = {"iat": now, "nbf": now - LIFE_S, "exp": now + expires_in_s}
        return {"jti": str(uuid.uuid4()), "aud": audience, "iss": self.url, **times, **run_claims(run)}


def run_claims(run: WorkflowRun) -> dict[str, str]:
    """The claims that describe the run; all are strings, ids too."""
    repository, ref = run.repository, f"refs/heads/{run.head_branch}"
    workflow_ref = f"{repository.full_name}/{run.workflow.path}@{ref}"
    return {
        "sub": subject(repository, ref),
        "ref": ref,
        "ref_type": "branch",
        "ref_protected": "false",
        "sha": run.head_sha,
        "repository": repository.full_name,
        "repository_id": str(repository.id),
        "repository_owner": repository.owner.login,
        "repository_owner_id": str(repository.owner.id),
        "repository_visibility": "private" if repository.private else "public",
        "run_id": str(run.id),
        "run_number": str(run.run_number),
        "run_attempt": str(run.run_attempt),
        "actor": run.actor.login,
        "actor_id": str(run.actor.id),
        "event_name": run.event,
        "head_ref": "",
        "base_ref": "",
        "workflow": run.workflow.name,
        "workflow_ref": workflow_ref,
        "workflow_sha": run.head_sha,
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": run.head_sha,
        "runner_environment": "github-hosted",
    }


def subject(repository: Repository, ref: str) -> str:
    """The `sub` claim, with immutable ids for the repositories that have them."""
    if repository.immutable_subject:
        owner = f"{repository.owner.login}@{repository.owner.id}"
        return f"repo:{owner}/{repository.name}@{repository.id}:ref:{ref}"
    return f"repo:{repository.full_name}:ref:{ref}"
