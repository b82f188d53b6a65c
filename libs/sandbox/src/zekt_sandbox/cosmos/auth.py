"""Who may call: holders of the account's key and, where a token audience is configured, of Entra ID tokens."""

import base64
import functools
import hashlib
import hmac
import time
from collections import deque
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

import jwt

from zekt_sandbox.cosmos.calls import Call
from zekt_sandbox.cosmos.errors import forbidden, unauthorized

MAX_SKEW_S = 15 * 60
_KEPT_CLAIMS = 1000
_WRONG_KEY = (
    "The input authorization token can't serve the request. "
    "The wrong key is being used or the expected payload is not built as per the protocol."
)


class Authorizer:
    """Checks each call's authorization; `claims` keeps what presented tokens said, never the tokens."""

    def __init__(self, key: str, audience: str | None = None) -> None:
        self._key = base64.b64decode(key, validate=True)
        self._audience = audience
        self.claims: deque[dict[str, Any]] = deque(maxlen=_KEPT_CLAIMS)

    def check(self, call: Call) -> None:
        """Let the call pass.

        Raises:
            CosmosError: 401, no or wrong credentials; 403, a signature dated outside 15 minutes.
        """
        kind, _, rest = unquote(call.headers.get("authorization", "")).partition("&")
        _, _, proof = rest.partition("sig=")
        if kind == "type=master":
            self._check_signature(call, proof)
        elif kind == "type=aad":
            self._check_token(proof)
        else:
            raise unauthorized("Required Header authorization is missing or of an unknown type.")

    def _check_signature(self, call: Call, signature: str) -> None:
        dated = call.headers.get("x-ms-date", "")
        resource_type, link = _signed_resource(call.segments)
        links = (link, link.rpartition("/")[2].lower())  # by name, or by the last `_rid`
        signed = (f"{call.method}\n{resource_type}\n".lower() + f"{each}\n{dated.lower()}\n\n" for each in links)
        if not any(hmac.compare_digest(self._signature(text), signature.encode()) for text in signed):
            raise unauthorized(_WRONG_KEY)
        if abs(time.time() - _seconds(dated)) > MAX_SKEW_S:
            raise forbidden("The authorization header's date is more than 15 minutes from the service's clock.")

    def _signature(self, text: str) -> bytes:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def _check_token(self, token: str) -> None:
        if self._audience is None:
            raise unauthorized("this stand-in was started without Entra ID tokens")
        try:
            # Only whom a token is for is proven here: no Entra ID exists that could have signed it.
            claims = jwt.decode(token, options={"verify_signature": False, "require": ["exp", "aud"]})
        except jwt.InvalidTokenError:
            raise unauthorized("The token is no JWT with an audience and an expiry.") from None
        self.claims.append(claims)
        if claims["aud"] != self._audience or claims["exp"] <= time.time():
            raise unauthorized("The token is expired or meant for another audience.")


def _signed_resource(segments: list[str]) -> tuple[str, str]:
    """The type and link that a signature covers: a feed's link is its owner's."""
    if not segments:
        return "", ""
    if len(segments) % 2:
        return segments[-1], "/".join(segments[:-1])
    return segments[-2], "/".join(segments)


@functools.lru_cache(maxsize=256)
def _seconds(dated: str) -> float:
    try:
        return parsedate_to_datetime(dated).timestamp()
    except ValueError:
        return 0
