"""What a person's document may cost: bounded before anything in it is looked up, since GitHub's limits are shared."""

import time
from collections.abc import Callable
from typing import Final

from zekt_common.auth.authorisation import Caller
from zekt_common.contracts.identity import DEFAULT_SKU, REPOSITORY_LIMITS, Sku
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_router.catalog_document import CatalogDocument, DocumentProblem, InvalidDocument, parse_document
from zekt_router.catalog_model import Catalog
from zekt_router.catalogs import Catalogs
from zekt_router.heard import Heard
from zekt_router.standing import present

MAX_BYTES: Final = 1024 * 1024
MAX_ENTRIES: Final = 2_000
LOOKUPS_AT_ONCE: Final = 100
LOOKUPS_PER_S: Final = 100 / 3600


def parse_allowed(body: bytes, caller: Caller) -> CatalogDocument:
    """Return the document in the body, which is as large as an operator needs, or a person.

    Raises:
        Refusal: 413, it has too many bytes for a person.
        InvalidDocument: it has too many entries for a person, or problems of shape.
    """
    if caller.is_operator:
        return parse_document(body)
    if len(body) > MAX_BYTES:
        raise Refusal(413, "body_too_large", f"Your document may have at most {MAX_BYTES} bytes. Apply it in parts.")
    return parse_document(body, max_entries=MAX_ENTRIES)


class Allowance:
    """Of people alone: operators need what they need."""

    def __init__(
        self,
        catalogs: Catalogs,
        heard: Heard,
        *,
        default_sku: Sku = DEFAULT_SKU,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogs = catalogs
        self._heard = heard
        self._default_sku = default_sku
        self._lookups = RateLimit(per_s=LOOKUPS_PER_S, burst=LOOKUPS_AT_ONCE, monotonic=monotonic)

    async def check_new(self, caller: Caller, account_id: int, document: CatalogDocument) -> None:
        """Pass if the caller's SKU allows the repositories that are new to the catalog, and they may be looked up now.

        Raises:
            InvalidDocument: more are new than could ever be enabled.
            Refusal: 429, as long as the caller has had too many looked up.
        """
        catalog = (await self._catalogs.latest(account_id)).catalog
        known = {present(catalog, listed).repository.lower() for listed in catalog.repositories.values()}
        new = {entry.repository.lower() for entry in document.repositories} - known
        sku = await self._sku(account_id, catalog)
        limit = REPOSITORY_LIMITS[sku]
        if limit is not None and len(new) > limit:
            raise _refused("sku_limit_exceeded", f"{_new(new)}; sku {sku} allows {limit} in all.")
        if len(new) > LOOKUPS_AT_ONCE:
            detail = f"{_new(new)}; {LOOKUPS_AT_ONCE} are looked up at once. Apply it in parts."
            raise _refused("too_many_repositories", detail)
        self.spend(caller, len(new))

    def spend(self, caller: Caller, lookups: int) -> None:
        """Count what is looked up at GitHub for the caller.

        Raises:
            Refusal: 429, as long as it has been too much.
        """
        if wait_s := self._lookups.wait_s(caller.actor, lookups):
            detail = f"Too many names were looked up at GitHub for you: wait {wait_s} s."
            raise Refusal(429, "too_many_lookups", detail, headers={"Retry-After": str(wait_s)})

    async def _sku(self, account_id: int, catalog: Catalog) -> Sku:
        """Return the account's SKU: as its own record says, else as the catalog does, else as any new account's."""
        record = (await self._heard.about(account_id, ())).record
        return (record and record.sku) or (catalog.account.sku if catalog.account else self._default_sku)


def _new(names: set[str]) -> str:
    return f"{len(names)} repositories are new to the catalog"


def _refused(code: str, detail: str) -> InvalidDocument:
    return InvalidDocument([DocumentProblem(path="repositories", code=code, detail=detail)])
