"""Who may call: holders of Entra ID tokens for Key Vault, once the challenge has told them whom to ask for one."""

import time
from collections import deque
from typing import Any, Final

import jwt

from zekt_sandbox.keyvault.errors import unauthorized

RESOURCE: Final = "https://vault.azure.net"
"""Whom tokens must be meant for, in the public cloud."""
CHALLENGE: Final = (
    f'Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000", '
    f'resource="{RESOURCE}"'
)
_BEARER = "Bearer "
_KEPT_CLAIMS = 1000


class Authorizer:
    """Checks tokens; `claims` keeps what presented tokens said, never the tokens."""

    def __init__(self) -> None:
        self.claims: deque[dict[str, Any]] = deque(maxlen=_KEPT_CLAIMS)
        self.challenges = 0

    def check(self, authorization: str) -> None:
        """Let the call pass.

        Raises:
            VaultError: 401, there is no token, or it is expired or meant for another.
        """
        if not authorization.startswith(_BEARER):
            self.challenges += 1
            raise unauthorized()
        try:
            # Only whom a token is for is proven here: no Entra ID exists that could have signed it.
            options = {"verify_signature": False, "require": ["exp", "aud"]}
            claims = jwt.decode(authorization.removeprefix(_BEARER), options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            raise unauthorized() from None
        self.claims.append(claims)
        if claims["aud"] != RESOURCE or claims["exp"] <= time.time():
            raise unauthorized()
