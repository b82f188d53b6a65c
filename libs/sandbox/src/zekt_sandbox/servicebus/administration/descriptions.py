"""What is said of topics, subscriptions and rules, read and written."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from zekt_sandbox.servicebus import durations
from zekt_sandbox.servicebus.administration.atom import (
    SCHEMA_INSTANCE,
    SERVICE_BUS,
    AdministrationError,
    element,
    text_of,
)
from zekt_sandbox.servicebus.entries import Counts
from zekt_sandbox.servicebus.message import SYSTEM_PROPERTIES
from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.rules import CorrelationFilter, Filter, TrueFilter
from zekt_sandbox.servicebus.topic import TopicProperties

_TYPE = f"{{{SCHEMA_INSTANCE}}}type"
_KEY_VALUE = "KeyValueOfstringanyType"
_COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
_WINDOW_S, _LOCK_S, _DELIVERIES = (20, 7 * 86400), (5, 300), (1, 2000)
_DEFAULT_WINDOW, _DEFAULT_LOCK, _DEFAULT_DELIVERIES = "PT10M", "PT1M", "10"
_NOT_STOOD_IN_FOR = ("ForwardTo", "ForwardDeadLetteredMessagesTo")


def topic_properties(description: ET.Element) -> TopicProperties:
    """Read a TopicDescription.

    Raises:
        AdministrationError: 400, a value is wrong.
    """
    window = _seconds(description, "DuplicateDetectionHistoryTimeWindow", _DEFAULT_WINDOW, _WINDOW_S)
    detects = text_of(description, "RequiresDuplicateDetection") == "true"
    return TopicProperties(duplicate_window_s=window if detects else None, ttl_s=_ttl(description))


def describe_topic(properties: TopicProperties) -> ET.Element:
    """Write a TopicDescription."""
    window_s, ttl_s = properties.duplicate_window_s, properties.ttl_s
    return element(
        "TopicDescription",
        None,
        element("DefaultMessageTimeToLive", durations.UNLIMITED if ttl_s is None else durations.duration(ttl_s)),
        element("RequiresDuplicateDetection", window_s is not None),
        element(
            "DuplicateDetectionHistoryTimeWindow", _DEFAULT_WINDOW if window_s is None else durations.duration(window_s)
        ),
        element("Status", "Active"),
    )


def queue_properties(description: ET.Element) -> QueueProperties:
    """Read a SubscriptionDescription.

    Raises:
        AdministrationError: 400, a value is wrong, or asks for what is not stood in for.
    """
    if text_of(description, "RequiresSession") == "true":
        raise AdministrationError(400, "The stand-in has no sessions.")
    for name in _NOT_STOOD_IN_FOR:
        if text_of(description, name):
            raise AdministrationError(400, f"The stand-in has no {name}.")
    deliveries = int(_within("MaxDeliveryCount", text_of(description, "MaxDeliveryCount") or _DEFAULT_DELIVERIES))
    return QueueProperties(
        lock_s=_seconds(description, "LockDuration", _DEFAULT_LOCK, _LOCK_S),
        max_delivery_count=deliveries,
        ttl_s=_ttl(description),
        dead_letters_expired=text_of(description, "DeadLetteringOnMessageExpiration") == "true",
    )


def describe_subscription(properties: QueueProperties, counts: Counts) -> ET.Element:
    """Write a SubscriptionDescription."""
    ttl_s = properties.ttl_s
    return element(
        "SubscriptionDescription",
        None,
        element("LockDuration", durations.duration(properties.lock_s)),
        element("RequiresSession", content=False),
        element("DefaultMessageTimeToLive", durations.UNLIMITED if ttl_s is None else durations.duration(ttl_s)),
        element("DeadLetteringOnMessageExpiration", properties.dead_letters_expired),
        element("MessageCount", counts.active + counts.locked + counts.deferred + counts.dead_lettered),
        element("MaxDeliveryCount", properties.max_delivery_count),
        element("Status", "Active"),
        _describe_counts(counts),
    )


def rule_filter(description: ET.Element) -> Filter:
    """Read a RuleDescription's filter.

    Raises:
        AdministrationError: 400, it is neither a true nor a correlation filter, or comes with an action.
    """
    sent, action = (description.find(f"{{{SERVICE_BUS}}}{name}") for name in ("Filter", "Action"))
    if action is not None and action.get(_TYPE) != "EmptyRuleAction":
        raise AdministrationError(400, "The stand-in has no rule actions.")
    kind = None if sent is None else sent.get(_TYPE)
    if sent is None or kind == "TrueFilter":
        return TrueFilter()
    if kind != "CorrelationFilter":
        raise AdministrationError(400, "The stand-in has true and correlation filters only.")
    system = {name: text for name in SYSTEM_PROPERTIES if (text := text_of(sent, name)) is not None}
    return CorrelationFilter(system, _application_properties(sent))


def describe_rule(name: str, by: Filter) -> ET.Element:
    """Write a RuleDescription."""
    described = _describe_true() if isinstance(by, TrueFilter) else _describe_correlation(by)
    action = element("Action")
    action.set(_TYPE, "EmptyRuleAction")
    return element("RuleDescription", None, described, action, element("Name", name))


def _describe_true() -> ET.Element:
    described = element("Filter", None, element("SqlExpression", "1=1"), element("CompatibilityLevel", 20))
    described.set(_TYPE, "TrueFilter")
    return described


def _describe_correlation(by: CorrelationFilter) -> ET.Element:
    described = element("Filter", None, *(element(name, value) for name, value in by.system.items()))
    described.set(_TYPE, "CorrelationFilter")
    if by.application:
        described.append(element("Properties", None, *(_key_value(*pair) for pair in by.application.items())))
    return described


def _key_value(key: str, value: str) -> ET.Element:
    # The prefix in the attribute's value is part of what the SDK reads: it takes what stands after the colon.
    holder = element("Value", value)
    holder.set(_TYPE, "d6p1:string")
    return element(_KEY_VALUE, None, element("Key", key), holder)


def _application_properties(sent: ET.Element) -> Mapping[str, str]:
    properties = {}
    for pair in sent.iterfind(f"{{{SERVICE_BUS}}}Properties/{{{SERVICE_BUS}}}{_KEY_VALUE}"):
        value = pair.find(f"{{{SERVICE_BUS}}}Value")
        if value is None or not (value.get(_TYPE) or "").endswith(":string"):
            raise AdministrationError(400, "The stand-in correlates by strings only.")
        properties[text_of(pair, "Key") or ""] = value.text or ""
    return properties


def _describe_counts(counts: Counts) -> ET.Element:
    described = element("CountDetails")
    told: dict[str, Any] = {
        "ActiveMessageCount": counts.active + counts.locked,
        "DeadLetterMessageCount": counts.dead_lettered,
        "ScheduledMessageCount": 0,
        "TransferDeadLetterMessageCount": 0,
        "TransferMessageCount": 0,
    }
    for name, count in told.items():
        ET.SubElement(described, f"{{{_COUNTS}}}{name}").text = str(count)
    return described


def _ttl(description: ET.Element) -> float | None:
    try:
        return durations.limited_seconds(text_of(description, "DefaultMessageTimeToLive"))
    except ValueError as error:
        raise AdministrationError(400, f"DefaultMessageTimeToLive: {error}") from None


def _seconds(description: ET.Element, name: str, default: str, limits: tuple[float, float]) -> float:
    try:
        length_s = durations.seconds(text_of(description, name) or default)
    except ValueError as error:
        raise AdministrationError(400, f"{name}: {error}") from None
    return _within(name, length_s, limits)


def _within(name: str, value: float | str, limits: tuple[float, float] = _DELIVERIES) -> float:
    if not limits[0] <= float(value) <= limits[1]:
        raise AdministrationError(400, f"The value of {name} is outside its limits, {limits[0]} to {limits[1]}.")
    return float(value)
