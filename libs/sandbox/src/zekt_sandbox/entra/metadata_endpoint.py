"""`GET /metadata/identity/oauth2/token`: managed identities, as a virtual machine's metadata endpoint gives them."""

import time
from collections.abc import Mapping
from typing import Any

from zekt_sandbox.entra.errors import EntraError
from zekt_sandbox.entra.tenant import Application, Tenant

API_VERSION = "2018-02-01"


def managed_identity(tenant: Tenant, headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a request from the machine itself; numbers are strings here.

    Raises:
        EntraError: it lacks the header that no redirect can forge, or names what there is not.
    """
    if headers.get("Metadata") != "true" or query.get("api-version") != API_VERSION:
        raise EntraError(400, "invalid_request", "Required metadata header or api-version not specified")
    application = _identity(tenant, query.get("client_id", ""))
    token = tenant.token(application, query.get("resource", ""))
    return {
        "access_token": token,
        "client_id": application.client_id,
        "expires_in": str(tenant.life_s),
        "expires_on": str(int(time.time()) + tenant.life_s),
        "resource": query["resource"],
        "token_type": "Bearer",
    }


def _identity(tenant: Tenant, client_id: str) -> Application:
    try:
        application = tenant.application(client_id)
    except EntraError:
        application = None
    if application is None or not application.is_managed_identity:
        raise EntraError(400, "invalid_request", "Identity not found")
    return application
