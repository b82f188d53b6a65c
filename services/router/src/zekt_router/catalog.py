"""The catalog of one account, stream `catalog/{account_id}`: what it enables, offers and who subscribes to that.

The stream's version is the catalog version that a routing decision records.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, assert_never

import msgspec

from zekt_common.decider import Decider
from zekt_common.envelope import Envelope, Event
from zekt_common.errors import ZektError
from zekt_router.catalog_events import (
    CATALOG_SCHEMAS,
    AccountDefined,
    AccountRecorded,
    InstallationSeen,
    RepositoryDefined,
    RepositoryRemoved,
    RepositorySeen,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    WorkflowDefined,
    WorkflowRemoved,
)
from zekt_router.catalog_model import (
    Account,
    AccountRecord,
    Catalog,
    Entity,
    InstallationStanding,
    Repository,
    RepositoryStanding,
    Service,
    Subscription,
    Workflow,
)
from zekt_router.catalog_order import in_order
from zekt_router.catalog_plan import Change, left_out, setting
from zekt_router.catalog_rules import Problem, problems_of


class Define(msgspec.Struct, frozen=True, kw_only=True):
    """Have these entities be as given. What is not given stays, or goes with `prune`; the account itself stays.

    `heard` is what identity has said of all these by now.
    """

    account_id: int
    account: Account | None = None
    repositories: list[Repository] = []
    workflows: list[Workflow] = []
    services: list[Service] = []
    subscriptions: list[Subscription] = []
    prune: bool = False
    heard: "Heed | None" = None


class Heed(msgspec.Struct, frozen=True, kw_only=True):
    """Take what identity says, as far as it concerns what the catalog holds and is news."""

    account_id: int
    repositories: list[RepositoryStanding] = []
    installations: list[InstallationStanding] = []
    record: AccountRecord | None = None


Command: TypeAlias = Define | Heed
_Said: TypeAlias = RepositoryStanding | InstallationStanding | AccountRecord


class CatalogRefused(ZektError):
    """The catalog would break its rules; `problems` names every one of them, and nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = list(problems)


def decide(catalog: Catalog, command: Command) -> list[Event]:
    """Return the events that make the catalog as commanded; none if it is so already.

    Raises:
        CatalogRefused: the outcome would break the rules.
    """
    match command:
        case Define():
            return _define(catalog, command)
        case Heed():
            return list(_heed(catalog, command))
        case _:
            assert_never(command)


def plan(catalog: Catalog, command: Define) -> list[Change]:
    """Return what the command would do to each entity that it names or leaves out, in the order of the events."""
    named: list[Entity] = [
        *([] if command.account is None else [command.account]),
        *command.repositories,
        *command.workflows,
        *command.services,
        *command.subscriptions,
        *([] if command.prune else _followers(catalog, command)),
    ]
    changes = [setting(catalog, command.account_id, entity) for entity in named]
    return [*left_out(catalog, command.account_id, named), *changes] if command.prune else changes


def evolve(catalog: Catalog, event: Event) -> Catalog:
    """Return the catalog after the event."""
    return evolve_all(catalog, [event])


def evolve_all(catalog: Catalog, events: Iterable[Event]) -> Catalog:
    """Return the catalog after the events, copying its dictionaries once for all of them."""
    draft = Catalog(
        repositories=dict(catalog.repositories),
        workflows=dict(catalog.workflows),
        services=dict(catalog.services),
        subscriptions=dict(catalog.subscriptions),
        standings=dict(catalog.standings),
        installations=dict(catalog.installations),
    )
    account, record = catalog.account, catalog.record
    for event in events:
        match event:
            case AccountDefined():
                account = event.account
            case AccountRecorded():
                record = event.record
            case _:
                _write(draft, event)
    return msgspec.structs.replace(draft, account=account, record=record)


def fold_catalog(catalog: Catalog, envelopes: Sequence[Envelope]) -> Catalog:
    """Return the catalog after these stored events."""
    return evolve_all(catalog, map(CATALOG_SCHEMAS.decode, envelopes)) if envelopes else catalog


CATALOG: Decider[Catalog, Command] = Decider(Catalog(), decide, evolve, CATALOG_SCHEMAS)


def _define(catalog: Catalog, command: Define) -> list[Event]:
    changes = plan(catalog, command)
    events = [event for change in changes for event in change.events]
    if not events:
        return []
    outcome = evolve_all(catalog, events)
    heard = [] if command.heard is None else list(_heed(outcome, command.heard))
    problems = problems_of(catalog, evolve_all(outcome, heard))
    if problems:
        raise CatalogRefused(problems)
    return in_order(catalog, changes, heard)


def _heed(catalog: Catalog, command: Heed) -> Iterator[Event]:
    for standing in command.repositories:
        if standing.repository_id in catalog.repositories and _is_news(
            standing, catalog.standings.get(standing.repository_id)
        ):
            yield RepositorySeen(account_id=command.account_id, standing=standing)
    if catalog.account is None:
        return
    for installation in command.installations:
        if _is_news(installation, catalog.installations.get(installation.installation_id)):
            yield InstallationSeen(account_id=command.account_id, standing=installation)
    if command.record is not None and _is_news(command.record, catalog.record):
        yield AccountRecorded(account_id=command.account_id, record=command.record)


def _is_news(said: _Said, known: _Said | None) -> bool:
    return known is None or known.version < said.version


def _followers(catalog: Catalog, command: Define) -> list[Subscription]:
    """Return the subscriptions, not named themselves, to services that the command moves to another repository."""
    homes = {service.slug: service.repository_id for service in command.services}
    named = {subscription.subscription_id for subscription in command.subscriptions}
    return [
        msgspec.structs.replace(subscription, repository_id=homes[subscription.service_slug])
        for subscription in catalog.subscriptions.values()
        if subscription.subscription_id not in named
        and homes.get(subscription.service_slug, subscription.repository_id) != subscription.repository_id
    ]


def _write(draft: Catalog, event: Event) -> None:
    """Write one event into a catalog that nobody else holds yet."""
    match event:
        case RepositoryDefined(repository=repository):
            draft.repositories[repository.repository_id] = repository
        case RepositoryRemoved(repository=repository):
            draft.repositories.pop(repository.repository_id, None)
        case WorkflowDefined(workflow=workflow):
            draft.workflows[workflow.repository_id, workflow.path] = workflow
        case WorkflowRemoved(workflow=workflow):
            draft.workflows.pop((workflow.repository_id, workflow.path), None)
        case ServiceDefined(service=service):
            draft.services[service.slug] = service
        case ServiceRemoved(service=service):
            draft.services.pop(service.slug, None)
        case SubscriptionDefined(subscription=subscription):
            draft.subscriptions[subscription.subscription_id] = subscription
        case SubscriptionRemoved(subscription=subscription):
            draft.subscriptions.pop(subscription.subscription_id, None)
        case _:
            _write_heard(draft, event)


def _write_heard(draft: Catalog, event: Event) -> None:
    match event:
        case RepositorySeen(standing=repository):
            draft.standings[repository.repository_id] = repository
        case InstallationSeen(standing=installation):
            draft.installations[installation.installation_id] = installation
