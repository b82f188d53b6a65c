"""From a document with names to one command for each account, with ids."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from zekt_common.contracts.identity import DEFAULT_SKU, Sku
from zekt_router.catalog import Define, Heed
from zekt_router.catalog_document import (
    CatalogDocument,
    InvalidDocument,
    ServiceEntry,
    SubscriptionEntry,
    WorkflowEntry,
)
from zekt_router.catalog_model import (
    Account,
    Entity,
    Repository,
    Service,
    Subscription,
    Workflow,
    subscription_id,
)
from zekt_router.catalog_plan import identity
from zekt_router.catalogs import Catalogs
from zekt_router.directory import GitHubNames, KnownNames
from zekt_router.heard import Heard
from zekt_router.names import Names
from zekt_router.projections import KnownRepository

Place = tuple[int, str, Any]
"""An entity: its account's id, its kind, and what tells it from others of its kind."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A command for each account that the document names, and where in the document each entity stands."""

    commands: list[Define]
    paths: dict[Place, str]
    logins: dict[int, str]


class Resolver:
    """Resolves documents against the catalog and GitHub."""

    def __init__(
        self,
        known: KnownNames,
        github: GitHubNames,
        catalogs: Catalogs,
        heard: Heard,
        *,
        default_sku: Sku = DEFAULT_SKU,
    ) -> None:
        self._known = known
        self._github = github
        self._catalogs = catalogs
        self._heard = heard
        self._default_sku = default_sku

    async def resolve(self, document: CatalogDocument) -> Resolved:
        """Return the document's commands.

        Raises:
            InvalidDocument: names are unknown; it tells every one.
            TokensUnavailable: identity or GitHub cannot answer now.
            GitHubUnavailable: likewise.
        """
        names = Names(self._known, self._github)
        await names.learn(document)
        if names.problems:
            raise InvalidDocument(names.problems)
        logins = _logins(document, names)
        heard = {each: await self._heard.about(each, _repositories(document, names, each)) for each in logins}
        accounts = {each: await self._account(login, heard[each]) for each, login in logins.items()}
        implied = {each: accounts[each] if await self._is_new(each) else None for each in logins}
        homes = await self._service_homes(document, names)
        placed = [*_placed_accounts(document, names, accounts), *_placed(document, names, homes)]
        return Resolved(
            commands=[
                _command(heard[each], [one for _, owner, one in placed if owner == each], implied[each], document.prune)
                for each in logins
            ],
            paths={(account_id, *identity(entity)): path for path, account_id, entity in placed},
            logins=logins,
        )

    async def _service_homes(self, document: CatalogDocument, names: Names) -> dict[tuple[int, str], int]:
        """Return the repository of each service that a subscription names, as the document or the catalog has it."""
        homes: dict[tuple[int, str], int] = {}
        for entry in document.subscriptions:
            owner_id = names.account_id(entry.owner)
            service = (await self._catalogs.latest(owner_id)).catalog.services.get(entry.slug)
            if service is not None:
                homes[owner_id, entry.slug] = service.repository_id
        for offered in document.services:
            home = names.repository(offered.repository).repository.repository_id
            homes[names.account_id(offered.owner), offered.slug] = home
        return homes

    async def _is_new(self, account_id: int) -> bool:
        return (await self._catalogs.latest(account_id)).catalog.account is None

    async def _account(self, login: str, heard: Heed) -> Account:
        """Return the account as it is where the document does not say otherwise: at first by its own record."""
        known = (await self._catalogs.latest(heard.account_id)).catalog.account
        if known is not None:
            return known
        record = heard.record
        return Account(
            account_id=heard.account_id,
            login=login,
            persona=(record and record.persona) or "both",
            sku=(record and record.sku) or self._default_sku,
        )


def _command(heard: Heed, entities: list[Entity], implied: Account | None, prune: bool) -> Define:  # noqa: FBT001 - passed on
    return Define(
        account_id=heard.account_id,
        account=next((entity for entity in entities if isinstance(entity, Account)), implied),
        repositories=[entity for entity in entities if isinstance(entity, Repository)],
        workflows=[entity for entity in entities if isinstance(entity, Workflow)],
        services=[entity for entity in entities if isinstance(entity, Service)],
        subscriptions=[entity for entity in entities if isinstance(entity, Subscription)],
        prune=prune and any(not isinstance(entity, Subscription) for entity in entities),
        heard=heard,
    )


def _repositories(document: CatalogDocument, names: Names, account_id: int) -> list[Repository]:
    found = [names.repository(entry.repository) for entry in document.repositories]
    return [known.repository for known in found if known.account_id == account_id]


def _placed_accounts(
    document: CatalogDocument, names: Names, accounts: Mapping[int, Account]
) -> Iterator[tuple[str, int, Entity]]:
    for index, entry in enumerate(document.accounts):
        before = accounts[names.account_id(entry.login)]
        account = msgspec.structs.replace(
            before, login=entry.login, persona=entry.persona or before.persona, sku=entry.sku or before.sku
        )
        yield f"accounts[{index}]", account.account_id, account


def _placed(
    document: CatalogDocument, names: Names, homes: dict[tuple[int, str], int]
) -> Iterator[tuple[str, int, Entity]]:
    """Yield each entity below the accounts with its path in the document and its account's id."""
    for index, repository in enumerate(document.repositories):
        known = names.repository(repository.repository)
        yield f"repositories[{index}]", known.account_id, known.repository
    for index, workflow in enumerate(document.workflows):
        known = names.repository(workflow.repository)
        yield f"workflows[{index}]", known.account_id, _workflow(workflow, known.repository.repository_id)
    for index, service in enumerate(document.services):
        known = names.repository(service.repository)
        yield f"services[{index}]", names.account_id(service.owner), _service(service, known.repository.repository_id)
    for index, subscription in enumerate(document.subscriptions):
        owner_id = names.account_id(subscription.owner)
        home = homes.get((owner_id, subscription.slug), 0)  # none: the catalog's rules will say so
        target = names.repository(subscription.target)
        yield f"subscriptions[{index}]", owner_id, _subscription(subscription, owner_id, home, target)


def _workflow(entry: WorkflowEntry, repository_id: int) -> Workflow:
    return Workflow(
        repository_id=repository_id,
        path=entry.path,
        branches=entry.branches,
        conclusions=entry.conclusions,
        events=entry.events,
        mode=entry.mode,
        correlation_window_s=entry.correlation_window_seconds,
    )


def _service(entry: ServiceEntry, repository_id: int) -> Service:
    return Service(
        slug=entry.slug,
        repository_id=repository_id,
        workflow_path=entry.workflow,
        alias=entry.alias,
        description=entry.description,
        tags=entry.tags,
        event_types=entry.event_types,
        visibility=entry.visibility,
        listed=entry.listed,
        shield_required=entry.shield_required,
        schema=entry.schema,
    )


def _subscription(entry: SubscriptionEntry, owner_id: int, home: int, target: KnownRepository) -> Subscription:
    return Subscription(
        subscription_id=subscription_id(owner_id, entry.slug, target.repository.repository_id),
        service_slug=entry.slug,
        repository_id=home,
        target_repository_id=target.repository.repository_id,
        target_repository=target.repository.repository,
        target_account_id=target.account_id,
        event_types=entry.event_types,
        durable=entry.durable,
        status=entry.status,
    )


def _logins(document: CatalogDocument, names: Names) -> dict[int, str]:
    """Return the document's accounts, each under the login it is called by there, consumers of its services aside."""
    spelled = [
        *(account.login for account in document.accounts),
        *(entry.repository.partition("/")[0] for entry in document.repositories),
        *(service.owner for service in document.services),
        *(subscription.owner for subscription in document.subscriptions),
    ]
    logins: dict[int, str] = {}
    for login in spelled:
        logins.setdefault(names.account_id(login), login)
    for workflow in document.workflows:
        known = names.repository(workflow.repository)
        logins.setdefault(known.account_id, workflow.repository.partition("/")[0])
    return logins
