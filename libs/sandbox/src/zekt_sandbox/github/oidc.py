"""The Actions OIDC issuer: keys, discovery, and tokens, honest or forged on request."""

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.model import Repository, WorkflowRun

AUDIENCE = "api://zekt"
LIFE_S = 300
Forgery = Literal["none", "hs256", "foreign_key", "unknown_kid"]
_KEY_BITS = 2048


class SigningKey:
    """One RSA key of the issuer with its key id."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        self.public_pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.kid = hashlib.sha256(self.public_pem).hexdigest()[:40].upper()

    def jwk(self) -> dict[str, Any]:
        """The public key as the key set shows it."""
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": jwk["n"], "e": jwk["e"]}


class OidcIssuer:
    """Signs tokens with its newest key and publishes those it has not retired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._published: list[SigningKey] = []
        self._foreign: SigningKey | None = None
        self.url = ""

    @property
    def _keys(self) -> list[SigningKey]:
        # Made on first use: most tests never ask for a token, and a key costs a tenth of a second.
        self._published = self._published or [SigningKey()]
        return self._published

    def rotate(self, *, retire_old: bool = False) -> str:
        """Sign with a new key from now on and return its key id."""
        self._published = [SigningKey()] if retire_old else [*self._keys, SigningKey()]
        return self._keys[-1].kid

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

    def jwks(self) -> dict[str, Any]:
        """The published keys."""
        return {"keys": [key.jwk() for key in self._keys]}

    def claims(self, run: WorkflowRun, *, audience: str = AUDIENCE, expires_in_s: int = LIFE_S) -> dict[str, Any]:
        """All claims that GitHub puts into a token of a job of `run`."""
        now = int(self._clock.machine_now())
        times = {"iat": now, "nbf": now - LIFE_S, "exp": now + expires_in_s}
        return {"jti": str(uuid.uuid4()), "aud": audience, "iss": self.url, **times, **run_claims(run)}

    def sign(self, claims: dict[str, Any], forgery: Forgery | None = None) -> str:
        """The claims as a JWT; `forgery` makes one that a verifier must refuse."""
        key = self._keys[-1]
        headers = {"kid": key.kid}
        match forgery:
            case None:
                return jwt.encode(claims, key.private, algorithm="RS256", headers=headers)
            case "none":
                return jwt.encode(claims, "", algorithm="none", headers=headers)
            case "hs256":
                return _hs256(claims, key)
            case "foreign_key":
                return jwt.encode(claims, self._foreign_key().private, algorithm="RS256", headers=headers)
            case "unknown_kid":
                foreign = self._foreign_key()
                return jwt.encode(claims, foreign.private, algorithm="RS256", headers={"kid": foreign.kid})

    def _foreign_key(self) -> SigningKey:
        self._foreign = self._foreign or SigningKey()
        return self._foreign


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


def _hs256(claims: dict[str, Any], key: SigningKey) -> str:
    # PyJWT refuses a PEM as an HMAC secret, which is just what an attacker would use.
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return (signed + b"." + _base64url(hmac.new(key.public_pem, signed, hashlib.sha256).digest())).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
