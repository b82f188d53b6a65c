"""One page of routing: each subscription is either delivered to or refused by a reason."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from zekt_router.catalog_model import Repository, Service, Subscription
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, Reachable, judge_subscription
from zekt_router.run_events import RunRouted
from zekt_router.run_model import PLAIN_EVENT_TYPE, Completion, Message, Refused, Target, delivery_id
from zekt_router.run_state import Item
from zekt_router.standing import present_login

Targets: TypeAlias = Mapping[tuple[int, int], Repository | Blocked]
"""Consumers' repositories by account and id, as they stand now, or what stands in their way."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that one page of decisions rests on; `message` is None for the plain event."""

    item: Item
    completion: Completion
    message: Message | None
    subscriptions: Sequence[Subscription]
    catalog: CatalogAt
    targets: Targets
    content_refusals: Mapping[str, Blocked]

    @property
    def event_type(self) -> str:
        """Return the type that consumers hear."""
        return PLAIN_EVENT_TYPE if self.message is None else self.message.event_type


def route_page(page: Page) -> RunRouted:
    """Return the decisions about the page's subscriptions, at least one and in order of id."""
    completion, message = page.completion, page.message
    verdicts = [_route(page, subscription) for subscription in page.subscriptions]
    return RunRouted(
        repository_id=completion.repository_id,
        repository=completion.repository,
        owner_id=completion.owner_id,
        owner=present_login(page.catalog.catalog) or completion.repository.partition("/")[0],
        run_id=completion.run_id,
        run_attempt=completion.run_attempt,
        message_id=page.item.message_id,
        event_type=page.event_type,
        workflow=completion.workflow_name,
        conclusion=completion.conclusion,
        late=page.item.late,
        last_subscription_id=page.subscriptions[-1].subscription_id,
        routed=[verdict for verdict in verdicts if isinstance(verdict, Target)],
        refused=[verdict for verdict in verdicts if isinstance(verdict, Refused)],
        size_bytes=message.size_bytes if message else 0,
        payload=message.payload if message else None,
        payload_ref=message.payload_ref if message else None,
    )


def _route(page: Page, subscription: Subscription) -> Target | Refused:
    service = page.catalog.service_of(subscription)
    target = page.targets.get((subscription.target_account_id, subscription.target_repository_id))
    verdict = judge_subscription(subscription, service, target, page.event_type)
    if isinstance(verdict, Reachable):
        refusal = page.content_refusals.get(service.slug)
        return _target(page, subscription, service, verdict) if refusal is None else _refused(subscription, refusal)
    return _refused(subscription, verdict)


def _target(page: Page, subscription: Subscription, service: Service, reachable: Reachable) -> Target:
    run = page.completion
    return Target(
        delivery_id=delivery_id(
            run.repository_id, run.run_id, run.run_attempt, page.item.message_id, subscription.subscription_id
        ),
        subscription_id=subscription.subscription_id,
        service_slug=service.slug,
        service_alias=service.alias,
        target_repository_id=reachable.repository_id,
        target_repository=reachable.repository,
        installation_id=reachable.installation_id,
    )


def _refused(subscription: Subscription, blocked: Blocked) -> Refused:
    return Refused(
        subscription_id=subscription.subscription_id,
        service_slug=subscription.service_slug,
        target_repository_id=subscription.target_repository_id,
        reason=blocked.reason,
        detail=blocked.detail,
    )
