from typing import Any

from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, SUBSCRIPTIONS, TOPICS, Subscription


def topics(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (namespace,) = config["UserConfig"]["Namespaces"]
    return {topic["Name"]: topic for topic in namespace["Topics"]}


def test_every_topic_detects_duplicates_as_long_as_the_topology_says() -> None:
    config = topics(emulator_config())
    assert set(config) == set(TOPICS)
    for topic in config.values():
        assert topic["Properties"]["RequiresDuplicateDetection"] is True
        assert topic["Properties"]["DuplicateDetectionHistoryTimeWindow"] == f"PT{DUPLICATE_WINDOW_S:.0f}S"


def test_every_subscription_of_the_topology_is_there_with_its_lock() -> None:
    found = {
        (topic["Name"], subscription["Name"]): subscription["Properties"]["LockDuration"]
        for topic in topics(emulator_config()).values()
        for subscription in topic["Subscriptions"]
    }
    assert found == {(each.topic, each.name): f"PT{each.lock_s:g}S" for each in SUBSCRIPTIONS}


def test_a_subscription_takes_what_is_for_all_or_for_it_and_nothing_else() -> None:
    config = emulator_config(["router"], [Subscription(topic="router", name="dispatcher")])
    (subscription,) = topics(config)["router"]["Subscriptions"]
    filters = [rule["Properties"] for rule in subscription["Rules"]]
    assert [each["FilterType"] for each in filters] == ["Correlation", "Correlation"]
    assert [each["CorrelationFilter"] for each in filters] == [
        {"Properties": {"for": "*"}},
        {"Properties": {"for": "dispatcher"}},
    ]
