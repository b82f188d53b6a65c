"""Entra ID as the issuer of service tokens, in both of the versions that it issues."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import aiohttp
import msgspec

from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.issuer_keys import IssuerKeys
from zekt_common.auth.refusals import TokenRefused

ALGORITHM: Final = "RS256"
LEEWAY_S: Final = 60.0


class _Claims(msgspec.Struct):
    """What says of whom a token is. A person's token has a scope, and a subject that is no object id."""

    iss: str
    ver: Literal["1.0", "2.0"]
    tid: str
    oid: str
    sub: str
    appid: str = ""
    azp: str = ""
    scp: str | None = None
    idtyp: str = "app"


class EntraIssuer:
    """One tenant. Its tokens speak for applications alone, which are called by their application ids."""

    algorithm = ALGORITHM
    leeway_s = LEEWAY_S

    def __init__(self, tenant: EntraTenant, keys: IssuerKeys) -> None:
        self._tenant = tenant
        self._keys = keys
        self._issuers = {"1.0": tenant.v1_issuer, "2.0": tenant.issuer}
        self.issuers = frozenset(self._issuers.values())
        self.audiences = tenant.audiences

    async def key(self, key_id: str | None, /) -> Any:
        """Return the tenant's RSA key with this id, or None when it has no such key.

        Raises:
            IssuerUnreachable: it is not known whether it has it.
        """
        return None if key_id is None else await self._keys.get(key_id)

    def service(self, claims: dict[str, Any], /) -> str:
        """Return the application id of the service that signed claims speak for.

        Raises:
            TokenRefused: they are a person's, of another tenant, or of one version in the form of the other.
        """
        try:
            typed = msgspec.convert(claims, _Claims)
        except msgspec.ValidationError:
            raise TokenRefused("It is no access token of Entra ID.") from None
        if typed.tid != self._tenant.tenant_id:
            raise TokenRefused("It is of another tenant.")
        if typed.iss != self._issuers[typed.ver]:
            raise TokenRefused("Its issuer is the one of another version.")
        if typed.scp is not None or typed.idtyp != "app" or typed.sub != typed.oid:
            raise TokenRefused("It speaks for a person.")
        application_id = typed.azp if typed.ver == "2.0" else typed.appid
        if not application_id:
            raise TokenRefused("It names no application.")
        return application_id


@asynccontextmanager
async def open_entra_issuer(tenant: EntraTenant) -> AsyncIterator[EntraIssuer]:
    """Enter with the issuer; its keys are fetched when a token first asks for one."""
    trusted = ssl.create_default_context(cafile=tenant.ca_file)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http:
        yield EntraIssuer(tenant, IssuerKeys(http, tenant.issuer))
