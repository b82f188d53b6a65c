"""Who vouches for services among each other in a suite: the data directory's issuer, or a tenant of Entra ID."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.contracts.identity import TOKENS_INSTALLATION, TOKENS_USER
from zekt_sandbox.entra import EntraSandbox

POD: Final = "system:serviceaccount:zekt:dispatcher"


@dataclass(frozen=True)
class ServiceIssuer:
    """The settings that lead to it, a token of its own for who may ask for all, and what it keeps and gives out."""

    mint: Callable[[Path], str]
    secrets: Callable[[], Mapping[str, bytes]] = dict
    settings: Mapping[str, str] = field(default_factory=dict)
    of_service: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def embedded() -> ServiceIssuer:
    """Return the issuer whose key lies in the data directory."""
    roles = [TOKENS_INSTALLATION, TOKENS_USER]
    return ServiceIssuer(lambda data_dir: EmbeddedIssuer(data_dir).mint(service="test", roles=roles))


def entra(tenant: EntraSandbox, directory: Path) -> ServiceIssuer:
    """Return the tenant as an issuer: the router proves itself by a secret, the dispatcher by its pod's token."""
    asking = tenant.register(TOKENS_INSTALLATION, TOKENS_USER)
    router, dispatcher = tenant.register(TOKENS_INSTALLATION), tenant.register(TOKENS_INSTALLATION)
    tenant.federate(dispatcher.client_id, POD)
    assertion = tenant.pod_token(POD)
    token_file = directory / "pod-token"
    token_file.write_text(assertion)

    def secrets() -> Mapping[str, bytes]:
        given = {f"token of Entra ID {number}": token for number, token in enumerate(sorted(tenant.credentials()))}
        kept = {"router's client secret": router.secret, "dispatcher's federated assertion": assertion}
        return {name: value.encode() for name, value in (given | kept).items()}

    settings = {
        "ZEKT_ENTRA_TENANT_ID": tenant.tenant_id,
        "ZEKT_ENTRA_AUDIENCE": tenant.api_id,
        "ZEKT_ENTRA_AUTHORITY": tenant.url,
        "ZEKT_ENTRA_CA_FILE": str(tenant.ca_file),
    }
    of_router = {
        "ZEKT_ENTRA_CLIENT_ID": router.client_id,
        "ZEKT_ENTRA_CREDENTIAL": "client-secret",
        "ZEKT_ENTRA_CLIENT_SECRET": router.secret,
    }
    of_dispatcher = {
        "ZEKT_ENTRA_CLIENT_ID": dispatcher.client_id,
        "ZEKT_ENTRA_CREDENTIAL": "workload-identity",
        "AZURE_FEDERATED_TOKEN_FILE": str(token_file),
    }
    return ServiceIssuer(
        lambda _: tenant.mint(asking.client_id),
        secrets,
        settings,
        {"router": of_router, "dispatcher": of_dispatcher},
    )
