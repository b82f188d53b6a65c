"""Operators who are known by a role of Entra ID: people, and applications that act for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from zekt_common.auth.entra_issuer import EntraIssuer, open_entra_issuer
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.refusals import TokenRefused
from zekt_common.auth.service_verifier import ServiceTokenVerifier


class _Claims(msgspec.Struct):
    """What an access token says; one of the last two, by its version, which an ID token has neither of."""

    iss: str
    ver: Literal["1.0", "2.0"]
    tid: str
    oid: str
    appid: str = ""
    azp: str = ""


class EntraOperators:
    """The tenant as an issuer of tokens for operators, who are called by their object ids."""

    def __init__(self, issuer: EntraIssuer, tenant: EntraTenant) -> None:
        self._issuer = issuer
        self._tenant_id = tenant.tenant_id
        self._by_version = {"1.0": tenant.v1_issuer, "2.0": tenant.issuer}
        self.algorithm = issuer.algorithm
        self.issuers = issuer.issuers
        self.audiences = issuer.audiences
        self.leeway_s = issuer.leeway_s

    async def key(self, key_id: str | None, /) -> Any:
        """Return the tenant's key with this id, or None when it has no such key.

        Raises:
            IssuerUnreachable: it is not known whether it has it.
        """
        return await self._issuer.key(key_id)

    def service(self, claims: dict[str, Any], /) -> str:
        """Return the object id of the person or application that signed claims speak for.

        Raises:
            TokenRefused: they are of another tenant, of one version in the form of the other, or of an ID token.
        """
        try:
            typed = msgspec.convert(claims, _Claims)
        except msgspec.ValidationError:
            raise TokenRefused("It is no access token of Entra ID.") from None
        if typed.tid != self._tenant_id or typed.iss != self._by_version[typed.ver]:
            raise TokenRefused("It is of another tenant, or of another version.")
        if not (typed.azp if typed.ver == "2.0" else typed.appid):
            raise TokenRefused("It names no application that may call with it, so it is no access token.")
        return typed.oid


@asynccontextmanager
async def open_roles(tenant: EntraTenant | None) -> AsyncIterator[ServiceTokenVerifier | None]:
    """Enter with what verifies operators' tokens of the tenant, None where there is no tenant."""
    if tenant is None:
        yield None
        return
    async with open_entra_issuer(tenant) as issuer:
        yield ServiceTokenVerifier(EntraOperators(issuer, tenant))
