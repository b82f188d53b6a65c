"""What a catalog is made of: an account, its repositories, workflows and services, and the subscriptions to these.

Beside what documents say of them it holds what identity says: how repositories and installations stand at GitHub, and
what the account's own record allows.
"""

import hashlib
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zekt_common.contracts.identity import DEFAULT_SKU, InstallationStatus, Persona, RepositoryStatus, Sku
from zekt_common.contracts.router import SubscriptionStatus

Role: TypeAlias = Literal["provider", "consumer"]
Mode: TypeAlias = Literal["events", "events+messages"]
Visibility: TypeAlias = Literal["public", "organisation", "private"]

DEFAULT_WINDOW_S: Final = 2.0
MAX_WINDOW_S: Final = 300.0
ID_LENGTH: Final = 32


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An owner at GitHub, by its numeric id, and what it may do here."""

    account_id: int
    login: str
    persona: Persona = "both"
    sku: Sku = DEFAULT_SKU


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One of the account's repositories; without an installation nothing can be delivered to it."""

    repository_id: int
    repository: str
    installation_id: int | None
    enabled_as: list[Role]


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """An allow-listed workflow. Empty lists set no limit, but pull request triggers count only where listed."""

    repository_id: int
    path: str
    branches: list[str] = []
    conclusions: list[str] = []
    events: list[str] = []
    mode: Mode = "events"
    correlation_window_s: float = DEFAULT_WINDOW_S


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What others may subscribe to; without a workflow it takes requests only."""

    slug: str
    repository_id: int
    workflow_path: str | None = None
    alias: str = ""
    description: str = ""
    tags: list[str] = []
    event_types: list[str] = []
    visibility: Visibility = "private"
    listed: bool = False
    shield_required: bool = False
    schema: dict[str, Any] | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One repository's subscription to one of the account's services; `repository_id` is the service's."""

    subscription_id: str
    service_slug: str
    repository_id: int
    target_repository_id: int
    target_repository: str
    target_account_id: int
    event_types: list[str] = []
    durable: bool = False
    status: SubscriptionStatus = "requested"


class RepositoryStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as identity saw it last; `version` is that of its own stream there, and a higher one is newer."""

    version: int
    repository_id: int
    repository: str
    account_id: int
    installation_id: int
    archived: bool
    status: RepositoryStatus


class InstallationStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One of the account's installations of the App, as identity saw it last."""

    version: int
    installation_id: int
    account_id: int
    login: str
    status: InstallationStatus


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the account's owner has agreed to at identity; neither persona nor SKU once the owner has left."""

    version: int
    account_id: int
    persona: Persona | None
    sku: Sku | None


Entity: TypeAlias = Account | Repository | Workflow | Service | Subscription


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """One account's catalog at one version: repositories by id, workflows by repository id and path, services by slug.

    Standings are by id too. Once published, its dictionaries are never changed.
    """

    account: Account | None = None
    repositories: dict[int, Repository] = msgspec.field(default_factory=dict)
    workflows: dict[tuple[int, str], Workflow] = msgspec.field(default_factory=dict)
    services: dict[str, Service] = msgspec.field(default_factory=dict)
    subscriptions: dict[str, Subscription] = msgspec.field(default_factory=dict)
    standings: dict[int, RepositoryStanding] = msgspec.field(default_factory=dict)
    installations: dict[int, InstallationStanding] = msgspec.field(default_factory=dict)
    record: AccountRecord | None = None


def subscription_id(owner_id: int, slug: str, target_repository_id: int) -> str:
    """Return the id of this target's subscription to this owner's service: 32 hex digits, the same every time."""
    return hashlib.sha256(f"{owner_id}/{slug}/{target_repository_id}".encode()).hexdigest()[:ID_LENGTH]


def catalog_stream(account_id: int) -> str:
    """Return the stream that holds the account's catalog."""
    return f"catalog/{account_id}"


def account_of(stream: str) -> int | None:
    """Return the account whose catalog the stream holds, None of any other stream."""
    kind, _, account_id = stream.partition("/")
    return int(account_id) if kind == "catalog" else None
