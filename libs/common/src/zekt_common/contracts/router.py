"""What the router publishes: the catalog for ingress's view, and the deliveries for the dispatcher.

Catalog messages hold an entity's full state; a reader takes one only if its stream version is higher than its own.
"""

from typing import ClassVar, Literal

import msgspec

from zekt_common.envelope import Event
from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef

SubscriptionStatus = Literal["requested", "approved", "denied", "revoked", "paused"]


class RepositoryChanged(Event, frozen=True, kw_only=True):
    """A repository's full state in the catalog; for `ingress`. `removed` is its tombstone."""

    TYPE: ClassVar[str] = "dev.zekt.router.repository-changed"

    repository_id: int
    repository: str
    account_id: int
    installation_id: int | None
    enabled_as: list[Literal["provider", "consumer"]]
    removed: bool = False


class ServiceChanged(Event, frozen=True, kw_only=True):
    """A service's full state, as far as ingress needs it; for `ingress`."""

    TYPE: ClassVar[str] = "dev.zekt.router.service-changed"

    repository_id: int
    slug: str
    workflow_path: str | None
    event_types: list[str]
    removed: bool = False


class SubscriptionChanged(Event, frozen=True, kw_only=True):
    """A subscription's full state; for `ingress`. `repository_id` is the provider's, which ingress looks up by."""

    TYPE: ClassVar[str] = "dev.zekt.router.subscription-changed"

    subscription_id: str
    repository_id: int
    service_slug: str
    target_repository_id: int
    event_types: list[str]
    status: SubscriptionStatus
    removed: bool = False


class CatalogAdvanced(Event, frozen=True, kw_only=True):
    """A catalog event that changes nothing ingress looks up; for `ingress`, so that its view can tell how far it is."""

    TYPE: ClassVar[str] = "dev.zekt.router.catalog-advanced"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery comes from, as its consumer may see it."""

    repository: str
    service_owner: str
    service_slug: str
    service_alias: str
    workflow: str
    conclusion: str


class DeliveryRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One subscription is to hear of one run, once; for `dispatcher`.

    `delivery_id` is a hash of run, attempt, message (or `completed`) and subscription: a repeat is the same delivery.
    """

    TYPE: ClassVar[str] = "dev.zekt.router.delivery-requested"

    delivery_id: str
    subscription_id: str
    repository_id: int
    owner_id: int
    run_id: int
    run_attempt: int
    message_id: str | None
    event_type: str
    origin: Origin
    target_repository_id: int
    target_repository: str
    installation_id: int
    late: bool = False
    is_replay: bool = False
    size_bytes: int = 0
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None
