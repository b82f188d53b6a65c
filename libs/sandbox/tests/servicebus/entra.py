import time
from typing import Any, Self

import jwt
from azure.core.credentials import AccessToken

from zekt_sandbox.servicebus import AUDIENCE


class Credential:
    """An Entra ID credential that is given a token of the service's audience for whatever scope the SDK asks for."""

    def __init__(self, *, lifetime_s: int = 3600, audience: str = AUDIENCE) -> None:
        self.scopes: list[str] = []
        self._lifetime_s = lifetime_s
        self.audience = audience

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        claims = {"aud": self.audience, "exp": time.time() + self._lifetime_s, "oid": "workload"}
        token = jwt.encode(claims, "a key that nobody checks, long enough for HS256")
        return AccessToken(token, int(time.time()) + 3600)

    async def close(self) -> None:
        """The SDK closes what it was given."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
