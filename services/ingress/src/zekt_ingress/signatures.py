"""Webhook signatures: SHA-256 over the raw bytes, in constant time, with every active secret of the hook's target.

The headers that name the target are not signed: an App's hook must name our App, and the secret of a hook in one
repository is derived from that repository's id, so that it vouches for no other.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NewType

import msgspec

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_common.errors import ZektError

VerifiedBody = NewType("VerifiedBody", bytes)

APP_TARGET: Final = "integration"
REPOSITORY_TARGET: Final = "repository"

_PREFIX: Final = "sha256="
_DIGEST_BYTES: Final = 32
_DERIVED_SECRETS_KEPT: Final = 4096


class SignatureRefused(ZektError):
    """The signature is missing, of another kind, or of none of the target's secrets."""


class TargetRefused(ZektError):
    """The signature is good, but the hook's target is not the one that it may speak for."""


class HookTarget(msgspec.Struct, frozen=True):
    """What a hook belongs to, as its unsigned headers say: `integration` (an App) or `repository`, and the id."""

    type: str
    id: int


class WebhookVerifier:
    """Turns a body into a `VerifiedBody`. A target without secrets is refused; nothing is ever let through unsigned."""

    def __init__(self, *, app_id: int | None, app_secrets: Sequence[str], master_keys: Sequence[bytes]) -> None:
        self._app_id = app_id
        self._app_secrets = tuple(secret.encode() for secret in app_secrets)
        self._repository_secrets = lru_cache(_DERIVED_SECRETS_KEPT)(
            lambda repository_id: tuple(repository_secret(key, repository_id).encode() for key in master_keys)
        )

    def verify(self, body: bytes, signature: str | None, target: HookTarget) -> VerifiedBody:
        """Return the body, signed with one of the target's secrets.

        Raises:
            SignatureRefused: it is not.
            TargetRefused: it is, but for another App.
        """
        expected = _digest_of(signature)
        macs = [hmac.digest(secret, body, "sha256") for secret in self._secrets(target)]
        matches = [hmac.compare_digest(mac, expected) for mac in macs]
        if not any(matches):
            raise SignatureRefused("The signature fits none of the hook's secrets.")
        if target.type == APP_TARGET and target.id != self._app_id:
            raise TargetRefused(f"The webhook was sent for App {target.id}, which is not this server's.")
        return VerifiedBody(body)

    def _secrets(self, target: HookTarget) -> Sequence[bytes]:
        match target.type:
            case "integration":
                return self._app_secrets
            case "repository":
                return self._repository_secrets(target.id)
            case _:
                return ()


def check_repository(target: HookTarget, repository_id: int | None) -> None:
    """Pass if the signed body's repository is the one whose hook sent it; Apps speak for every repository.

    Raises:
        TargetRefused: it is another one, or none.
    """
    if target.type == REPOSITORY_TARGET and target.id != repository_id:
        raise TargetRefused(f"The hook of repository {target.id} may not report about another one.")


def _digest_of(signature: str | None) -> bytes:
    if not signature:
        raise SignatureRefused("Send X-Hub-Signature-256: set a secret for the hook.")
    if signature.startswith(_PREFIX) and len(signature) == len(_PREFIX) + 2 * _DIGEST_BYTES:
        try:
            digest = bytes.fromhex(signature[len(_PREFIX) :])
        except ValueError:
            digest = b""
        if len(digest) == _DIGEST_BYTES:
            return digest
    raise SignatureRefused("X-Hub-Signature-256 must be sha256= and 64 hex digits.")
