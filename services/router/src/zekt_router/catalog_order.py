"""The order of a catalog's events: every beginning of it leaves a catalog that keeps the rules.

So a change that takes several appends can be cut short anywhere. What takes away comes first, then what others refer
to, and last what a service has moved away from.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from zekt_common.envelope import Event
from zekt_router.catalog_events import RepositoryDefined, RepositoryRemoved, RepositorySeen
from zekt_router.catalog_model import Account, Catalog, Repository, Subscription
from zekt_router.catalog_plan import Change, identity

_REMOVED, _LESS, _ACCOUNT, _MORE, _LEFT = range(5)


def in_order(catalog: Catalog, changes: Sequence[Change], heard: Sequence[Event]) -> list[Event]:
    """Return the events of these changes to the catalog and of what was heard, in the order to append them.

    What was heard of a repository comes right behind its definition, so that it never counts without that.
    """
    seen = {event.standing.repository_id: event for event in heard if isinstance(event, RepositorySeen)}
    others = [event for event in heard if not isinstance(event, RepositorySeen)]
    turns: dict[int, list[Event]] = {turn: [] for turn in (_REMOVED, _LESS, _ACCOUNT, _MORE, _LEFT)}
    homes = _homes_of_kept_services(catalog, changes)
    for change in changes:
        turn = _turn(catalog, change, homes)
        turns[turn] += change.events
        if isinstance(change.entity, Repository) and change.events:
            news = seen.pop(change.entity.repository_id, None)
            turns[turn] += [] if news is None else [news]
            turns[_LESS] += _disabled(change) if turn == _LEFT else []
    turns[_ACCOUNT] += [*others, *seen.values()]
    return [event for events in turns.values() for event in events]


def _homes_of_kept_services(catalog: Catalog, changes: Sequence[Change]) -> set[Any]:
    """Return the repositories and workflows that services which stay lie at before the changes."""
    gone = {identity(change.entity) for change in changes if change.action == "remove"}
    kept = [service for service in catalog.services.values() if identity(service) not in gone]
    return {
        *(("repository", service.repository_id) for service in kept),
        *(("workflow", (service.repository_id, service.workflow_path)) for service in kept),
    }


def _turn(catalog: Catalog, change: Change, homes: set[Any]) -> int:
    if change.action == "remove":  # what a service moves away from goes after it has moved
        return _LEFT if identity(change.entity) in homes else _REMOVED
    match change.entity:
        case Account():
            return _ACCOUNT
        case Repository(repository_id=repository_id, enabled_as=roles):
            known = catalog.repositories.get(repository_id)
            return _LESS if known is not None and {*roles} < {*known.enabled_as} else _MORE
        case Subscription(subscription_id=subscription_id, status=status):
            return _LESS if subscription_id in catalog.subscriptions and status != "approved" else _MORE
        case _:
            return _MORE


def _disabled(removal: Change) -> list[Event]:
    """Return what makes an enabled repository, which goes last, count no more until then."""
    return [
        RepositoryDefined(account_id=event.account_id, repository=replace(event.repository, enabled_as=[]))
        for event in removal.events
        if isinstance(event, RepositoryRemoved) and event.repository.enabled_as
    ]
