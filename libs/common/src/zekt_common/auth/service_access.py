"""Which issuer vouches for services: Entra ID where it is set, this machine's own where nothing of it is."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from zekt_common.auth.entra_issuer import open_entra_issuer
from zekt_common.auth.entra_settings import EntraClient, EntraTenant
from zekt_common.auth.entra_tokens import EntraTokens
from zekt_common.auth.service_tokens import EmbeddedIssuer, EmbeddedTokens, ServiceTokens
from zekt_common.auth.service_verifier import ServiceTokenVerifier


def service_tokens(entra: EntraClient | None, data_dir: Path, *, service: str, roles: Collection[str]) -> ServiceTokens:
    """Return where `service` gets its tokens. Entra ID gives the roles that it was told to, not these."""
    if entra is None:
        return EmbeddedTokens(EmbeddedIssuer(data_dir), service=service, roles=roles)
    from zekt_common.auth.entra_client import EntraTokenClient  # noqa: PLC0415 - MSAL, which one machine never needs

    return EntraTokens(EntraTokenClient(entra).acquire)


@asynccontextmanager
async def open_verifier(entra: EntraTenant | None, data_dir: Path) -> AsyncIterator[ServiceTokenVerifier]:
    """Enter with the verifier of services' tokens; only one issuer's are believed."""
    if entra is None:
        yield ServiceTokenVerifier(EmbeddedIssuer(data_dir))
        return
    async with open_entra_issuer(entra) as issuer:
        yield ServiceTokenVerifier(issuer)
