"""What a catalog command does to each entity: the diff that is shown, and the events that bring it about."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, assert_never

import msgspec

from zekt_common.envelope import Event
from zekt_router.catalog_events import (
    AccountDefined,
    RepositoryDefined,
    RepositoryRemoved,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    WorkflowDefined,
    WorkflowRemoved,
)
from zekt_router.catalog_model import Account, Catalog, Entity, Repository, Service, Subscription, Workflow

Action: TypeAlias = Literal["create", "update", "remove", "unchanged"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one entity, by which events; `fields` names what differs in an update."""

    entity: Entity
    action: Action
    fields: list[str] = []
    events: list[Event] = []


def setting(catalog: Catalog, account_id: int, entity: Entity) -> Change:
    """Return the change that makes the entity exist as given."""
    before = _present(catalog, entity)
    if before == entity:
        return Change(entity=entity, action="unchanged")
    if before is None:
        return Change(entity=entity, action="create", events=[_defined(account_id, entity)])
    events = [_defined(account_id, entity)]
    if _moved(before, entity):  # readers keep services and subscriptions by the provider's repository
        events.insert(0, _removed(account_id, before))
    return Change(entity=entity, action="update", fields=_differences(before, entity), events=events)


def left_out(catalog: Catalog, account_id: int, named: Iterable[Entity]) -> list[Change]:
    """Return the changes that remove what `named` does not contain, dependants first."""
    kept = {identity(entity) for entity in named}
    return [
        Change(entity=entity, action="remove", events=[_removed(account_id, entity)])
        for entity in entities(catalog)
        if identity(entity) not in kept
    ]


def entities(catalog: Catalog) -> Sequence[Entity]:
    """Return all that the account's catalog holds, dependants first."""
    return [
        *catalog.subscriptions.values(),
        *catalog.services.values(),
        *catalog.workflows.values(),
        *catalog.repositories.values(),
    ]


def identity(entity: Entity) -> tuple[str, Any]:
    """Return the entity's kind and what tells it from others of its kind in its account."""
    match entity:
        case Account():
            return "account", entity.account_id
        case Repository():
            return "repository", entity.repository_id
        case Workflow():
            return "workflow", (entity.repository_id, entity.path)
        case Service():
            return "service", entity.slug
        case Subscription():
            return "subscription", entity.subscription_id
        case _:
            assert_never(entity)


def _present(catalog: Catalog, entity: Entity) -> Entity | None:
    match entity:
        case Account():
            return catalog.account
        case Repository():
            return catalog.repositories.get(entity.repository_id)
        case Workflow():
            return catalog.workflows.get((entity.repository_id, entity.path))
        case Service():
            return catalog.services.get(entity.slug)
        case Subscription():
            return catalog.subscriptions.get(entity.subscription_id)
        case _:
            assert_never(entity)


def _defined(account_id: int, entity: Entity) -> Event:
    match entity:
        case Account():
            return AccountDefined(account=entity)
        case Repository():
            return RepositoryDefined(account_id=account_id, repository=entity)
        case Workflow():
            return WorkflowDefined(workflow=entity)
        case Service():
            return ServiceDefined(service=entity)
        case Subscription():
            return SubscriptionDefined(subscription=entity)
        case _:
            assert_never(entity)


def _removed(account_id: int, entity: Entity) -> Event:
    match entity:
        case Repository():
            return RepositoryRemoved(account_id=account_id, repository=entity)
        case Workflow():
            return WorkflowRemoved(workflow=entity)
        case Service():
            return ServiceRemoved(service=entity)
        case Subscription():
            return SubscriptionRemoved(subscription=entity)
        case Account():
            raise TypeError("an account is never removed from its own catalog")
        case _:
            assert_never(entity)


def _moved(before: Entity, after: Entity) -> bool:
    movable = (Service, Subscription)
    return isinstance(before, movable) and isinstance(after, movable) and before.repository_id != after.repository_id


def _differences(before: Entity, after: Entity) -> list[str]:
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return [name for name in new if old.get(name) != new[name]]
