"""Who may connect: holders of the shared key and, where a token audience is configured, of Entra ID tokens."""

import base64
import hashlib
import hmac
import time
from collections import deque
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import jwt

from zekt_sandbox.servicebus.errors import unauthorized
from zekt_sandbox.servicebus.namespace import entity_path

KEY_NAME: Final = "RootManageSharedAccessKey"
DEFAULT_KEY: Final = base64.b64encode(b"zekt-sandbox: tests, local trials").decode()
"""The shared key of a stand-in that was given none; everyone knows it."""

AUDIENCE: Final = "https://servicebus.azure.net/"
"""The audience of the tokens that Entra ID issues for Service Bus."""

_SAS = "SharedAccessSignature "
_KEPT_CLAIMS = 1000


class Authorizer:
    """Checks tokens; `claims` keeps what presented Entra ID tokens said, never the tokens."""

    def __init__(self, key: str, audience: str | None = None) -> None:
        self._key = key.encode()
        self._audience = audience
        self.claims: deque[dict[str, Any]] = deque(maxlen=_KEPT_CLAIMS)

    def check(self, token: str, resource: str) -> None:
        """Let pass who presents this token for a resource, whose address is given in any form.

        Raises:
            AmqpError: the token is forged, expired, or meant for something else.
        """
        if token.startswith(_SAS):
            self._check_signature(token.removeprefix(_SAS), resource)
        else:
            self._check_token(token)

    def _check_signature(self, fields: str, resource: str) -> None:
        signed = {name: values[0] for name, values in parse_qs(fields).items()}
        if signed.get("skn") != KEY_NAME or signed.keys() < {"sr", "sig", "se"}:
            raise unauthorized("InvalidSignature: The token has an invalid signature.")
        expected = (self._signature(f"{raw}\n{signed['se']}") for raw in _raw_resources(fields))
        if not any(hmac.compare_digest(each, signed["sig"].encode()) for each in expected):
            raise unauthorized("InvalidSignature: The token has an invalid signature.")
        if not signed["se"].isdecimal() or int(signed["se"]) <= time.time():
            raise unauthorized("ExpiredToken: The token is expired.")
        if not is_within(entity_path(resource), entity_path(unquote(signed["sr"]))):
            raise unauthorized("InvalidAudience: The token is meant for another resource.")

    def _signature(self, text: str) -> bytes:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def _check_token(self, token: str) -> None:
        if self._audience is None:
            raise unauthorized("InvalidToken: this stand-in was started without Entra ID tokens.")
        try:
            # Only whom a token is for is proven here: no Entra ID exists that could have signed it.
            claims = jwt.decode(token, options={"verify_signature": False, "require": ["exp", "aud"]})
        except jwt.InvalidTokenError:
            raise unauthorized("InvalidToken: The token is no JWT with an audience and an expiry.") from None
        self.claims.append(claims)
        if claims["aud"] != self._audience or claims["exp"] <= time.time():
            raise unauthorized("InvalidAudience: The token is expired or meant for another audience.")


def is_within(path: str, granted: str) -> bool:
    """Whether an entity's path is the granted one or below it; the empty path is the whole namespace."""
    return granted in ("", path) or path.startswith(f"{granted}/")


def _raw_resources(fields: str) -> list[str]:
    """The resource as it was signed: still quoted."""
    return [field.removeprefix("sr=") for field in fields.split("&") if field.startswith("sr=")]
