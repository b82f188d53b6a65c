"""`POST /{tenant}/oauth2/v2.0/token`: client credentials, by secret or by the cluster's token."""

import secrets
from collections.abc import Mapping
from typing import Any

from zekt_sandbox.entra.cluster import Cluster
from zekt_sandbox.entra.errors import invalid_client, malformed_scope, unsupported_grant
from zekt_sandbox.entra.tenant import Application, Tenant

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT = "/.default"


def grant(tenant: Tenant, cluster: Cluster, form: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a form that proves which application asks.

    Raises:
        EntraError: it does not, or asks for what there is not.
    """
    if form.get("grant_type") != "client_credentials":
        raise unsupported_grant()
    application = tenant.application(form.get("client_id", ""))
    _check_proof(application, cluster, form)
    resource, default, rest = form.get("scope", "").partition(_DEFAULT)
    if not default or rest:
        raise malformed_scope()
    token = tenant.token(application, resource)
    return {"token_type": "Bearer", "expires_in": tenant.life_s, "ext_expires_in": tenant.life_s, "access_token": token}


def _check_proof(application: Application, cluster: Cluster, form: Mapping[str, str]) -> None:
    if form.get("client_assertion_type") == ASSERTION_TYPE:
        cluster.check(form.get("client_assertion", ""), application.subject)
    elif "client_secret" not in form:
        raise invalid_client(7000218, "The request body must contain client_assertion or client_secret.")
    elif not application.secret or not secrets.compare_digest(form["client_secret"], application.secret):
        raise invalid_client(7000215, "Invalid client secret provided.")
