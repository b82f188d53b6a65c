"""A running tenant and its controls as methods."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zekt_sandbox.entra.errors import EntraError, UnknownApplicationError
from zekt_sandbox.entra.faults import Operation
from zekt_sandbox.entra.gateway import Gateway
from zekt_sandbox.entra.tenant import Application, TokenVersion
from zekt_sandbox.token_keys import Forgery


class EntraSandbox:
    """A tenant at `url`, which whoever trusts `ca_file` can reach; `faults` are its switches."""

    def __init__(self, gateway: Gateway, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.faults = gateway.faults
        self._gateway = gateway
        self._tenant = gateway.tenant

    @property
    def url(self) -> str:
        """The authority, without the tenant."""
        return self._tenant.url

    @property
    def tenant_id(self) -> str:
        """The tenant's id."""
        return self._tenant.id

    @property
    def api_id(self) -> str:
        """The application id of the API that tokens are for; `api://` and it is another name."""
        return self._tenant.api_id

    @property
    def requests(self) -> Counter[Operation]:
        """How many requests came in, by operation."""
        return self._gateway.requests

    @property
    def token_version(self) -> TokenVersion:
        """The version of the access tokens that the API asks for; it can be set."""
        return self._tenant.version

    @token_version.setter
    def token_version(self, version: TokenVersion) -> None:
        self._tenant.version = version

    @property
    def token_life_s(self) -> int:
        """How long tokens live that are given from now on; it can be set."""
        return self._tenant.life_s

    @token_life_s.setter
    def token_life_s(self, life_s: int) -> None:
        self._tenant.life_s = life_s

    def credentials(self) -> frozenset[str]:
        """Every token that was ever asked for and given: for those who look where they went."""
        return frozenset(self._tenant.given)

    def register(self, *roles: str) -> Application:
        """Register an application with a secret, and grant it roles of the API."""
        return self._tenant.register(roles)

    def register_managed_identity(self, *roles: str) -> Application:
        """Give the machine an identity, and grant it roles of the API; it has no secret."""
        application = self._tenant.register(roles)
        application.secret, application.is_managed_identity = "", True
        return application

    def federate(self, client_id: str, subject: str) -> None:
        """Let pods of a service account, such as `system:serviceaccount:zekt:router`, be the application.

        Raises:
            UnknownApplicationError: there is no such application.
        """
        self._application(client_id).subject = subject

    def pod_token(self, subject: str, *, forgery: Forgery | None = None, **claims: Any) -> str:
        """The token that the cluster projects into a pod of the service account; `claims` replace its own."""
        return self._gateway.cluster.token(subject, forgery=forgery, **claims)

    def mint(
        self, client_id: str, *, forgery: Forgery | None = None, without: Sequence[str] = (), **claims: Any
    ) -> str:
        """An access token for the API as the endpoint gives it, with claims replaced, left out, or forged.

        Raises:
            UnknownApplicationError: there is no such application.
        """
        honest = self._tenant.claims(self._application(client_id)) | claims
        return self._tenant.keys.sign({name: honest[name] for name in honest if name not in without}, forgery)

    def rotate_keys(self, *, retire_old: bool = False) -> str:
        """Sign with a new key from now on and return its key id."""
        return self._tenant.keys.rotate(retire_old=retire_old)

    def _application(self, client_id: str) -> Application:
        try:
            return self._tenant.application(client_id)
        except EntraError:
            raise UnknownApplicationError(f"no application {client_id} is registered") from None
