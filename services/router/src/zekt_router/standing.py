"""How an account and its repositories stand now: what the catalog says, brought up to what identity has seen."""

import msgspec

from zekt_common.contracts.identity import DEFAULT_SKU, Persona, Sku
from zekt_router.catalog_model import Catalog, Repository, RepositoryStanding


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the account may enable; `recorded` where its owner has an account of their own that says so."""

    persona: Persona
    sku: Sku
    recorded: bool


def terms_of(catalog: Catalog) -> Terms:
    """Return the account's terms: its own record's, else the catalog's."""
    record, account = catalog.record, catalog.account
    if record is not None and record.persona is not None and record.sku is not None:
        return Terms(persona=record.persona, sku=record.sku, recorded=True)
    if account is None:
        return Terms(persona="both", sku=DEFAULT_SKU, recorded=False)
    return Terms(persona=account.persona, sku=account.sku, recorded=False)


def present(catalog: Catalog, repository: Repository) -> Repository:
    """Return the repository under its present name and installation; one that changed hands stays as it was."""
    standing = catalog.standings.get(repository.repository_id)
    if standing is None or not is_still_owned(catalog, standing):
        return repository
    installation_id = standing.installation_id if standing.status == "covered" else repository.installation_id
    return msgspec.structs.replace(repository, repository=standing.repository, installation_id=installation_id)


def present_login(catalog: Catalog) -> str | None:
    """Return what the account is called now, None if it is not in the catalog."""
    if catalog.account is None:
        return None
    seen = [installation.login for installation in catalog.installations.values() if installation.status != "removed"]
    return seen[-1] if seen else catalog.account.login


def is_still_owned(catalog: Catalog, standing: RepositoryStanding) -> bool:
    """Return whether the repository belonged to the catalog's account when it was seen last."""
    return catalog.account is not None and catalog.account.account_id == standing.account_id
