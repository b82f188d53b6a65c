"""The Kubernetes cluster that the tenant federates with: it gives pods the tokens that stand in for a secret."""

import time
from typing import Any

import jwt

from zekt_sandbox.entra.errors import invalid_client
from zekt_sandbox.token_keys import Forgery, KeyRing

EXCHANGE = "api://AzureADTokenExchange"
ISSUER = "https://cluster.zekt.test"
LIFE_S = 3600


class Cluster:
    """An issuer of service account tokens, and the tenant's judgement of them."""

    def __init__(self) -> None:
        self.keys = KeyRing()

    def token(self, subject: str, *, forgery: Forgery | None = None, **changes: Any) -> str:
        """The token that is projected into a pod of the service account; `changes` replace claims."""
        now = int(time.time())
        honest = {"iss": ISSUER, "aud": [EXCHANGE], "sub": subject, "iat": now, "nbf": now, "exp": now + LIFE_S}
        return self.keys.sign(honest | changes, forgery)

    def check(self, assertion: str, subject: str) -> None:
        """Let a token of the service account pass.

        Raises:
            EntraError: it is not one that is valid now.
        """
        try:
            key = self.keys.public_key(str(jwt.get_unverified_header(assertion).get("kid")))
            if key is None:
                raise invalid_client(700027, "The certificate with this identifier is not registered.")
            claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=EXCHANGE, issuer=ISSUER)
        except jwt.ExpiredSignatureError:
            raise invalid_client(700024, "The client assertion is not within its valid time range.") from None
        except jwt.InvalidTokenError:
            raise invalid_client(70021, "No matching federated identity record was found.") from None
        if not subject or claims["sub"] != subject:
            raise invalid_client(700213, "No matching federated identity record was found for this subject.")
