"""The official emulator's Config.json, as far as this stand-in goes: it refuses what it would do differently."""

from collections.abc import Mapping
from typing import Any

from zekt_sandbox.servicebus import durations
from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.errors import ConfigError
from zekt_sandbox.servicebus.message import SYSTEM_PROPERTIES
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.rules import CorrelationFilter, Filter
from zekt_sandbox.servicebus.topic import Topic, TopicProperties

_DEFAULT_LOCK, _DEFAULT_DELIVERIES, _DEFAULT_WINDOW = "PT1M", 10, "PT5M"
_NOT_STOOD_IN_FOR = ("RequiresSession", "ForwardTo", "ForwardDeadLetteredMessagesTo")


def namespace_of(config: Mapping[str, Any], clock: Clock) -> Namespace:
    """Return the one namespace that is configured, empty.

    Raises:
        ConfigError: see `load`.
    """
    namespace = Namespace(clock)
    load(namespace, config)
    return namespace


def load(namespace: Namespace, config: Mapping[str, Any]) -> None:
    """Create the topics and subscriptions of the one namespace that is configured.

    Raises:
        ConfigError: the configuration is not understood, or asks for queues, sessions, forwarding or SQL filters.
    """
    try:
        [configured] = config["UserConfig"]["Namespaces"]
        if configured.get("Queues"):
            raise ConfigError("queues are not stood in for: configure topics")
        for each in configured.get("Topics") or []:
            _load_topic(namespace, each)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the configuration lacks the emulator's form: {type(error).__name__} {error}") from error
    except ValueError as error:
        raise ConfigError(f"the configuration holds a wrong value: {error}") from error


def _load_topic(namespace: Namespace, config: Mapping[str, Any]) -> None:
    properties = _properties(config)
    window = properties.get("DuplicateDetectionHistoryTimeWindow") or _DEFAULT_WINDOW
    detects = properties.get("RequiresDuplicateDetection", False)
    topic = namespace.add_topic(
        config["Name"],
        TopicProperties(
            duplicate_window_s=durations.seconds(window) if detects else None,
            ttl_s=durations.limited_seconds(properties.get("DefaultMessageTimeToLive")),
        ),
    )
    for each in config.get("Subscriptions") or []:
        _load_subscription(topic, each)


def _load_subscription(topic: Topic, config: Mapping[str, Any]) -> None:
    properties = _properties(config)
    queue = QueueProperties(
        lock_s=durations.seconds(properties.get("LockDuration") or _DEFAULT_LOCK),
        max_delivery_count=int(properties.get("MaxDeliveryCount") or _DEFAULT_DELIVERIES),
        ttl_s=durations.limited_seconds(properties.get("DefaultMessageTimeToLive")),
        dead_letters_expired=bool(properties.get("DeadLetteringOnMessageExpiration", False)),
    )
    rules = {rule["Name"]: _filter(rule["Properties"]) for rule in config.get("Rules") or []}
    topic.subscribe(config["Name"], queue, rules or None)


def _properties(config: Mapping[str, Any]) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = config.get("Properties") or {}
    for name in _NOT_STOOD_IN_FOR:
        if properties.get(name):
            raise ConfigError(f"{name} of {config['Name']!r} is not stood in for")
    return properties


def _filter(properties: Mapping[str, Any]) -> Filter:
    if properties.get("FilterType") != "Correlation":
        raise ConfigError("only correlation filters are stood in for")
    correlation = properties["CorrelationFilter"]
    system = {name: correlation[name] for name in SYSTEM_PROPERTIES if name in correlation}
    return CorrelationFilter(system, correlation.get("Properties") or {})
