"""The table in docs/architecture.md, the contracts and the topology say the same."""

import importlib
import inspect
import re
from pathlib import Path

from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS
from zekt_common.envelope import Event

ROW = re.compile(r"^\| (\w+) \| `(dev\.zekt\.[a-z.-]+)` \| (\w+) \|$", re.MULTILINE)
ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
CONNECTIONS = re.compile(r"^\| (a .+) \| from the start \| (\d+) \|$", re.MULTILINE)
HELD = re.compile(r"\bholds? (\d+)\b")


def documented() -> set[tuple[str, str, str]]:
    return set(ROW.findall(DOCUMENT.read_text()))


def published(topic: str) -> set[str]:
    contracts = importlib.import_module(f"zekt_common.contracts.{topic}")
    events = [one for _, one in inspect.getmembers(contracts, inspect.isclass) if issubclass(one, Event)]
    return {event.TYPE for event in events if event is not Event}


def test_every_contract_is_in_the_table_under_its_topic() -> None:
    in_code = {(topic, kind) for topic in TOPICS for kind in published(topic)}
    assert in_code == {(topic, kind) for topic, kind, _ in documented()}


def test_every_consumer_in_the_table_has_its_subscription() -> None:
    in_code = {(subscription.topic, subscription.name) for subscription in SUBSCRIPTIONS}
    assert in_code == {(topic, consumer) for topic, _, consumer in documented()}


def test_the_type_of_a_contract_starts_with_its_publisher() -> None:
    for topic, kind, _ in documented():
        assert kind.startswith(f"dev.zekt.{topic}.")


def test_the_documents_count_the_connections_that_are_held() -> None:
    document = (ROOT / "docs" / "azure.md").read_text()
    consumed = {subscription.topic for subscription in SUBSCRIPTIONS}
    assert [int(count) for _, count in CONNECTIONS.findall(document)] == [len(consumed), len(SUBSCRIPTIONS)]
    for text in (document, (ROOT / "deploy" / "docker" / "README.md").read_text()):
        assert [int(count) for count in HELD.findall(text)] == [len(consumed) + len(SUBSCRIPTIONS)]
