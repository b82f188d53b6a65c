"""What a host knows its callers by: the data directory's token, identity's session keys, a list, a role of Entra ID."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from zekt_common.auth.authorisation import Authorisation
from zekt_common.auth.authorisation_entra import open_roles
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.auth.session_keys import FetchedSessionKeys
from zekt_common.auth.sessions import SessionVerifier
from zekt_common.kit.settings import HostSettings


@asynccontextmanager
async def open_authorisation(
    settings: HostSettings, *, url: str, internal_url: str, entra: EntraTenant | None = None
) -> AsyncIterator[Authorisation]:
    """Enter with what decides; without settings, identity is at the host's own ports, where it may be served.

    Raises:
        StorageUnusable: the operator token can be neither read nor created.
    """
    operator_token = ensure_operator_token(settings.data_dir)
    async with aiohttp.ClientSession() as http, open_roles(entra) as roles:
        keys = FetchedSessionKeys(http, settings.identity_url or internal_url)
        sessions = SessionVerifier(keys, public_url=settings.public_url or f"http://127.0.0.1:{urlsplit(url).port}")
        yield Authorisation(operator_token, sessions, operators=settings.operators, roles=roles)
