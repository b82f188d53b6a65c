"""Topics with duplicate detection, their subscriptions, and the two rules of each."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from azure.servicebus.management import CorrelationRuleFilter, SubscriptionProperties, TopicProperties

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.provision.change import Change
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_topology import ADDRESS, MAX_DELIVERY_COUNT, addresses
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, TOPICS, Subscription, subscriptions_of

WINDOW: Final = timedelta(seconds=DUPLICATE_WINDOW_S)

DEFAULT_RULE: Final[Mapping[str, str | None]] = {"$Default": None}
"""What a new subscription comes with: a rule that lets everything through."""

Found = TypeVar("Found")


@asynccontextmanager
async def administration(connection: ServiceBusConnection) -> AsyncIterator[ServiceBusAdministrationClient]:
    """Open the namespace's administration; it is always reached over https."""
    trust: dict[str, Any] = {"connection_verify": connection.ca_file or True}
    if connection.connection_string:
        client = ServiceBusAdministrationClient.from_connection_string(connection.connection_string, **trust)
    else:
        assert connection.credential is not None  # noqa: S101 - a namespace comes with a credential
        client = ServiceBusAdministrationClient(connection.namespace, connection.credential, **trust)
    async with client:
        yield client


async def plan(client: ServiceBusAdministrationClient) -> Sequence[Change]:
    """Return what the namespace lacks, in the order to make it in.

    Raises:
        CommandFailed: 1 when a topic or subscription exists in a form that cannot be changed.
    """
    return [change for topic in TOPICS for change in await _plan_topic(client, topic)]


async def _plan_topic(client: ServiceBusAdministrationClient, name: str) -> list[Change]:
    topic = await _found(client.get_topic(name))
    changes = _topic_changes(client, name, topic)
    for subscription in subscriptions_of(name):
        changes += await _plan_subscription(client, subscription, exists=topic is not None)
    return changes


def _topic_changes(client: ServiceBusAdministrationClient, name: str, topic: TopicProperties | None) -> list[Change]:
    window: dict[str, Any] = {"duplicate_detection_history_time_window": WINDOW}
    if topic is None:
        create = partial(client.create_topic, name, requires_duplicate_detection=True, **window)
        return [Change("+", "topic", name, create)]
    if not topic.requires_duplicate_detection:
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"the topic {name} exists without duplicate detection, which cannot be added: delete it, "
            "or give ZEKT_SERVICEBUS_CONNECTION or ZEKT_SERVICEBUS_NAMESPACE another namespace",
        )
    if topic.duplicate_detection_history_time_window != WINDOW:
        return [Change("~", "topic", name, partial(client.update_topic, topic, **window))]
    return []


async def _plan_subscription(
    client: ServiceBusAdministrationClient, wanted: Subscription, *, exists: bool
) -> list[Change]:
    found = await _found(client.get_subscription(wanted.topic, wanted.name)) if exists else None
    rules = await _rules(client, wanted) if found else DEFAULT_RULE
    return [*_subscription_changes(client, wanted, found), *_rule_changes(client, wanted, rules)]


def _subscription_changes(
    client: ServiceBusAdministrationClient, wanted: Subscription, found: SubscriptionProperties | None
) -> list[Change]:
    name = f"{wanted.topic}/{wanted.name}"
    form: dict[str, Any] = {
        "lock_duration": timedelta(seconds=wanted.lock_s),
        "max_delivery_count": MAX_DELIVERY_COUNT,
        "dead_lettering_on_message_expiration": True,
    }
    if found is None:
        create = partial(client.create_subscription, wanted.topic, wanted.name, **form)
        return [Change("+", "subscription", name, create)]
    if found.requires_session:
        raise CommandFailed(Exit.CHECK_FAILED, f"the subscription {name} exists with sessions: delete it")
    if any(getattr(found, field) != value for field, value in form.items()):
        return [Change("~", "subscription", name, partial(client.update_subscription, wanted.topic, found, **form))]
    return []


async def _rules(client: ServiceBusAdministrationClient, of: Subscription) -> Mapping[str, str | None]:
    """Return the address that each rule lets through, None for a rule of another kind."""
    return {rule.name: _address(rule.filter) async for rule in client.list_rules(of.topic, of.name)}


def _address(by: object) -> str | None:
    properties = (by.properties or {}) if isinstance(by, CorrelationRuleFilter) else {}
    return str(properties[ADDRESS]) if list(properties) == [ADDRESS] else None


def _rule_changes(
    client: ServiceBusAdministrationClient, of: Subscription, found: Mapping[str, str | None]
) -> list[Change]:
    """Make what is missing first, so that the subscription misses nothing while the rest is removed."""
    wanted = addresses(of)
    wrong = [name for name, address in wanted.items() if name in found and found[name] != address]
    missing = [name for name in wanted if name not in found]
    stale = [name for name in found if name not in wanted]

    def remove(name: str) -> Change:
        return Change("-", "rule", f"{of.topic}/{of.name}/{name}", partial(client.delete_rule, of.topic, of.name, name))

    def create(name: str) -> Change:
        make = partial(client.create_rule, of.topic, of.name, name, filter=_filter(wanted[name]))
        return Change("+", "rule", f"{of.topic}/{of.name}/{name}", make)

    mended = [change for name in wrong for change in (remove(name), create(name))]
    return [*map(create, missing), *mended, *map(remove, stale)]


def _filter(address: str) -> CorrelationRuleFilter:
    return CorrelationRuleFilter(properties={ADDRESS: address})


async def _found(asked: Awaitable[Found]) -> Found | None:
    try:
        return await asked
    except ResourceNotFoundError:
        return None
