from typing import Any

import pytest

from zekt_sandbox.servicebus import ConfigError, NotLoopbackError, durations, serving
from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.rules import CorrelationFilter, TrueFilter

RULE = {
    "Name": "r",
    "Properties": {
        "FilterType": "Correlation",
        "CorrelationFilter": {"Label": "subject1", "Properties": {"k": "v"}},
    },
}


def configured(**topic: Any) -> dict[str, Any]:
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Topics": [{"Name": "topic.1", **topic}]}]}}


def subscribed(**subscription: Any) -> dict[str, Any]:
    return configured(Subscriptions=[{"Name": "s", **subscription}])


async def test_topics_and_subscriptions_are_as_configured() -> None:
    properties = {
        "LockDuration": "PT30S",
        "MaxDeliveryCount": 3,
        "DefaultMessageTimeToLive": "PT1H",
        "DeadLetteringOnMessageExpiration": True,
        "ForwardTo": "",
        "RequiresSession": False,
    }
    config = configured(
        Properties={"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT20S"},
        Subscriptions=[{"Name": "S1", "Properties": properties, "Rules": [RULE]}, {"Name": "S2"}],
    )
    async with serving(config) as sandbox:
        topic = sandbox.namespace.topic("TOPIC.1")
        assert (topic.name, topic.properties.duplicate_window_s, topic.properties.ttl_s) == ("topic.1", 20, None)
        first, second = topic.subscriptions.values()
        assert first.properties == QueueProperties(
            lock_s=30, max_delivery_count=3, ttl_s=3600, dead_letters_expired=True
        )
        assert first.rules == {"r": CorrelationFilter({"Label": "subject1"}, {"k": "v"})}
        assert second.properties == QueueProperties()
        assert second.rules == {"$Default": TrueFilter()}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "lacks the emulator's form"),
        ({"UserConfig": {"Namespaces": []}}, "wrong value"),
        ({"UserConfig": {"Namespaces": [{"Queues": [{"Name": "q"}]}]}}, "queues are not stood in for"),
        (configured(Properties={"DefaultMessageTimeToLive": "soon"}), "'soon' is no duration"),
        (subscribed(Properties={"LockDuration": "P"}), "'P' is no duration"),
        (subscribed(Properties={"RequiresSession": True}), "RequiresSession of 's' is not stood in for"),
        (subscribed(Properties={"ForwardTo": "t"}), "ForwardTo"),
        (subscribed(Properties={"ForwardDeadLetteredMessagesTo": "t"}), "ForwardDeadLetteredMessagesTo"),
        (subscribed(Rules=[{"Name": "r", "Properties": {"FilterType": "Sql"}}]), "only correlation filters"),
        (subscribed(Rules=[{"Name": "r"}]), "lacks the emulator's form"),
    ],
)
async def test_what_would_behave_differently_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        async with serving(config):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])  # noqa: S104 - refused, which is the point
async def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        async with serving(configured(), host=host):
            pass


async def test_a_port_is_not_shared_with_another_stand_in() -> None:
    async with serving(configured()) as first:
        with pytest.raises(OSError, match="in use"):
            async with serving(configured(), port=first.port):
                pass


@pytest.mark.parametrize(
    ("written", "seconds"), [("PT20S", 20), ("PT1M30S", 90), ("P7D", 604800), ("P1DT2H", 93600), ("PT0.5S", 0.5)]
)
def test_durations_are_read_and_written_alike(written: str, seconds: float) -> None:
    assert durations.seconds(written) == seconds
    assert durations.duration(seconds) == written


def test_no_duration_at_all_is_zero_seconds_and_the_longest_is_none() -> None:
    assert durations.duration(0) == "PT0S"
    assert durations.limited_seconds(durations.UNLIMITED) is None
    assert durations.limited_seconds(None) is None
    assert durations.limited_seconds("PT1M") == 60
