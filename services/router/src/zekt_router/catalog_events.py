"""The stored events of a catalog: each holds one entity's full new state, so that its version is all a reader needs.

Those at the end are what identity told the router.
"""

from typing import ClassVar

from zekt_common.envelope import Event
from zekt_common.schemas import Schemas
from zekt_router.catalog_model import (
    Account,
    AccountRecord,
    InstallationStanding,
    Repository,
    RepositoryStanding,
    Service,
    Subscription,
    Workflow,
)


class AccountDefined(Event, frozen=True, kw_only=True):
    """The account is as follows."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.account-defined"

    account: Account


class RepositoryDefined(Event, frozen=True, kw_only=True):
    """The account has this repository."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.repository-defined"

    account_id: int
    repository: Repository


class RepositoryRemoved(Event, frozen=True, kw_only=True):
    """The account no longer has this repository here."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.repository-removed"

    account_id: int
    repository: Repository


class WorkflowDefined(Event, frozen=True, kw_only=True):
    """This workflow is allow-listed."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.workflow-defined"

    workflow: Workflow


class WorkflowRemoved(Event, frozen=True, kw_only=True):
    """This workflow is no longer allow-listed."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.workflow-removed"

    workflow: Workflow


class ServiceDefined(Event, frozen=True, kw_only=True):
    """The account offers this service."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.service-defined"

    service: Service


class ServiceRemoved(Event, frozen=True, kw_only=True):
    """The account no longer offers this service, at this repository."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.service-removed"

    service: Service


class SubscriptionDefined(Event, frozen=True, kw_only=True):
    """Somebody's repository subscribes to a service of this account."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.subscription-defined"

    subscription: Subscription


class SubscriptionRemoved(Event, frozen=True, kw_only=True):
    """The subscription is gone."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.subscription-removed"

    subscription: Subscription


class RepositorySeen(Event, frozen=True, kw_only=True):
    """A repository of this catalog stands so at GitHub; it may have come to belong to another account."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.repository-seen"

    account_id: int
    standing: RepositoryStanding


class InstallationSeen(Event, frozen=True, kw_only=True):
    """An installation of the account's stands so at GitHub, and this is the account's present login."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.installation-seen"

    account_id: int
    standing: InstallationStanding


class AccountRecorded(Event, frozen=True, kw_only=True):
    """The account's own record says this."""

    TYPE: ClassVar[str] = "dev.zekt.catalog.account-recorded"

    account_id: int
    record: AccountRecord


CATALOG_EVENTS = (
    AccountDefined,
    RepositoryDefined,
    RepositoryRemoved,
    WorkflowDefined,
    WorkflowRemoved,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    RepositorySeen,
    InstallationSeen,
    AccountRecorded,
)
CATALOG_SCHEMAS = Schemas(CATALOG_EVENTS)
