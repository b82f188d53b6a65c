"""What the router tells others of its stored events: the catalog to ingress, the deliveries to the dispatcher."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from zekt_common.contracts.router import (
    CatalogAdvanced,
    DeliveryRequested,
    Origin,
    RepositoryChanged,
    ServiceChanged,
    SubscriptionChanged,
)
from zekt_common.envelope import Envelope, Event, republish
from zekt_common.ports import OutgoingMessage
from zekt_router.catalog_events import (
    CATALOG_SCHEMAS,
    RepositoryDefined,
    RepositoryRemoved,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
)
from zekt_router.run_events import RUN_SCHEMAS, RunRouted
from zekt_router.run_model import Target

SOURCE: Final = "zekt/router"
TOPIC: Final = "router"


def translate(envelope: Envelope) -> Sequence[OutgoingMessage]:
    """Return the messages about this stored event; none if nobody else needs to know."""
    if envelope.type in CATALOG_SCHEMAS:
        body = _catalog_message(CATALOG_SCHEMAS.decode(envelope))
        return [OutgoingMessage(envelope=republish(envelope, body, source=SOURCE), to="ingress")]
    if envelope.type != RunRouted.TYPE:
        return []
    page = RUN_SCHEMAS.decode(envelope)
    return _requests(envelope, page) if isinstance(page, RunRouted) else []


def _requests(envelope: Envelope, page: RunRouted) -> list[OutgoingMessage]:
    return [
        OutgoingMessage(
            envelope=republish(envelope, _request(page, target), source=SOURCE, part=number), to="dispatcher"
        )
        for number, target in enumerate(page.routed, start=1)
    ]


def _request(page: RunRouted, target: Target) -> DeliveryRequested:
    return DeliveryRequested(
        delivery_id=target.delivery_id,
        subscription_id=target.subscription_id,
        repository_id=page.repository_id,
        owner_id=page.owner_id,
        run_id=page.run_id,
        run_attempt=page.run_attempt,
        message_id=page.message_id,
        event_type=page.event_type,
        origin=_origin(page, target),
        target_repository_id=target.target_repository_id,
        target_repository=target.target_repository,
        installation_id=target.installation_id,
        late=page.late,
        size_bytes=page.size_bytes,
        payload=page.payload,
        payload_ref=page.payload_ref,
    )


def _origin(page: RunRouted, target: Target) -> Origin:
    """Return what the consumer may see: where the provider chose an alias, it stands in for the repository."""
    return Origin(
        repository=target.service_alias or page.repository,
        service_owner=page.owner,
        service_slug=target.service_slug,
        service_alias=target.service_alias,
        workflow=page.workflow,
        conclusion=page.conclusion,
    )


def _catalog_message(event: Event) -> Event:
    make = _MESSAGES.get(type(event))
    return CatalogAdvanced() if make is None else make(event)


def _repository_defined(event: RepositoryDefined) -> RepositoryChanged:
    repository = event.repository
    return RepositoryChanged(
        repository_id=repository.repository_id,
        repository=repository.repository,
        account_id=event.account_id,
        installation_id=repository.installation_id,
        enabled_as=list(repository.enabled_as),
    )


def _repository_removed(event: RepositoryRemoved) -> RepositoryChanged:
    return RepositoryChanged(
        repository_id=event.repository.repository_id,
        repository=event.repository.repository,
        account_id=event.account_id,
        installation_id=None,
        enabled_as=[],
        removed=True,
    )


def _service(event: ServiceDefined | ServiceRemoved) -> ServiceChanged:
    return ServiceChanged(
        repository_id=event.service.repository_id,
        slug=event.service.slug,
        workflow_path=event.service.workflow_path,
        event_types=event.service.event_types,
        removed=isinstance(event, ServiceRemoved),
    )


def _subscription(event: SubscriptionDefined | SubscriptionRemoved) -> SubscriptionChanged:
    subscription = event.subscription
    return SubscriptionChanged(
        subscription_id=subscription.subscription_id,
        repository_id=subscription.repository_id,
        service_slug=subscription.service_slug,
        target_repository_id=subscription.target_repository_id,
        event_types=subscription.event_types,
        status=subscription.status,
        removed=isinstance(event, SubscriptionRemoved),
    )


_MESSAGES: Final[dict[type[Event], Callable[[Any], Event]]] = {
    RepositoryDefined: _repository_defined,
    RepositoryRemoved: _repository_removed,
    ServiceDefined: _service,
    ServiceRemoved: _service,
    SubscriptionDefined: _subscription,
    SubscriptionRemoved: _subscription,
}
