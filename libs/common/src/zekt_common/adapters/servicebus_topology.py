"""The topology as Service Bus knows it: topics with duplicate detection, two correlation rules for each subscription.

`emulator_config` gives it in the form of the official emulator's Config.json; provisioning creates the same in Azure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, SUBSCRIPTIONS, TOPICS, Subscription
from zekt_common.ports.bus import EVERYONE

ADDRESS: Final = "for"
MAX_DELIVERY_COUNT: Final = 2000
EMULATOR_MAX_DELIVERY_COUNT: Final = 10
EMULATOR_NAMESPACE: Final = "sbemulatorns"
_EMULATOR_TIME_TO_LIVE: Final = "PT1H"


def addresses(subscription: Subscription) -> Mapping[str, str]:
    """Return the subscription's rules by name: what the property `for` must equal for a message to reach it."""
    return {"for-everyone": EVERYONE, f"for-{subscription.name}": subscription.name}


def iso_duration(seconds: float) -> str:
    """Return a number of seconds as Service Bus writes durations."""
    return f"PT{seconds:g}S"


def emulator_config(
    topics: Sequence[str] = TOPICS, subscriptions: Sequence[Subscription] = SUBSCRIPTIONS
) -> dict[str, Any]:
    """Return the content of the official emulator's Config.json.

    The emulator holds messages for an hour and counts ten deliveries at most; Azure is given more of both.
    """
    entities = [_topic(topic, [each for each in subscriptions if each.topic == topic]) for topic in topics]
    namespace = {"Name": EMULATOR_NAMESPACE, "Queues": [], "Topics": entities}
    return {"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "Console"}}}


def _topic(name: str, subscriptions: Sequence[Subscription]) -> dict[str, Any]:
    return {
        "Name": name,
        "Properties": {
            "DefaultMessageTimeToLive": _EMULATOR_TIME_TO_LIVE,
            "RequiresDuplicateDetection": True,
            "DuplicateDetectionHistoryTimeWindow": iso_duration(DUPLICATE_WINDOW_S),
        },
        "Subscriptions": [_subscription(subscription) for subscription in subscriptions],
    }


def _subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "Name": subscription.name,
        "Properties": {
            "DefaultMessageTimeToLive": _EMULATOR_TIME_TO_LIVE,
            "DeadLetteringOnMessageExpiration": True,
            "LockDuration": iso_duration(subscription.lock_s),
            "MaxDeliveryCount": EMULATOR_MAX_DELIVERY_COUNT,
            "RequiresSession": False,
        },
        "Rules": [_rule(name, address) for name, address in addresses(subscription).items()],
    }


def _rule(name: str, address: str) -> dict[str, Any]:
    correlation = {"Properties": {ADDRESS: address}}
    return {"Name": name, "Properties": {"FilterType": "Correlation", "CorrelationFilter": correlation}}
