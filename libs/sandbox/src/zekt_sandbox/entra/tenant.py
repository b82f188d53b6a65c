"""A tenant: one API, the applications that may call it, and the tokens that say so."""

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from zekt_sandbox.entra.errors import unknown_application, unknown_resource
from zekt_sandbox.token_keys import KeyRing

TokenVersion = Literal["1.0", "2.0"]
LIFE_S = 3599
_API = "api://"


@dataclass(slots=True)
class Application:
    """A registration with its service principal. `subject` is the one that a federated token must have."""

    client_id: str
    object_id: str
    roles: list[str]
    secret: str = field(default="", repr=False)
    subject: str = ""
    is_managed_identity: bool = False


class Tenant:
    """The directory of one tenant; `version` is that of the API's access tokens."""

    def __init__(self, tenant_id: str, api_id: str, version: TokenVersion) -> None:
        self.id = tenant_id
        self.api_id = api_id
        self.version: TokenVersion = version
        self.url = ""
        self.keys = KeyRing()
        self.life_s = LIFE_S
        self.given: set[str] = set()
        self._applications: dict[str, Application] = {}

    @property
    def issuer(self) -> str:
        """The issuer of tokens of version 2.0."""
        return f"{self.url}/{self.id}/v2.0"

    def register(self, roles: Sequence[str]) -> Application:
        """Add an application that has been granted the API's roles, with a secret."""
        application = Application(str(uuid.uuid4()), str(uuid.uuid4()), list(roles), secret=secrets.token_urlsafe(30))
        self._applications[application.client_id] = application
        return application

    def application(self, client_id: str) -> Application:
        """The application with this id.

        Raises:
            EntraError: there is none.
        """
        try:
            return self._applications[client_id]
        except KeyError:
            raise unknown_application() from None

    def token(self, application: Application, resource: str) -> str:
        """An access token for the API, which is called by its id, or `api://` and that.

        Raises:
            EntraError: there is no such API.
        """
        if resource.removeprefix(_API) != self.api_id:
            raise unknown_resource()
        token = self.keys.sign(self.claims(application, resource))
        self.given.add(token)
        return token

    def claims(self, application: Application, resource: str = "") -> dict[str, Any]:
        """What an access token says, in the API's version."""
        now = int(time.time())
        common = {
            "iat": now,
            "nbf": now,
            "exp": now + self.life_s,
            "oid": application.object_id,
            "sub": application.object_id,
            "tid": self.id,
            "uti": secrets.token_urlsafe(16),
            "ver": self.version,
        }
        granted = {"roles": list(application.roles)} if application.roles else {}
        return common | granted | (self._v1(application, resource) if self.version == "1.0" else self._v2(application))

    def _v1(self, application: Application, resource: str) -> dict[str, Any]:
        issuer = f"https://sts.windows.net/{self.id}/"
        names = {"aud": resource or f"{_API}{self.api_id}", "iss": issuer, "idp": issuer}
        return names | {"appid": application.client_id, "appidacr": "1"}

    def _v2(self, application: Application) -> dict[str, Any]:
        return {"aud": self.api_id, "iss": self.issuer, "azp": application.client_id, "azpacr": "1"}
