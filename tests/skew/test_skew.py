"""Services one minor version apart understand each other: what an older one sends is read, and what a newer one adds
is passed over. docs/upgrade.md says what a change has to keep to."""

import importlib
import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.skew.examples import EXAMPLES, GOLDEN, golden_file, sealed
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS
from zekt_common.envelope import Envelope, Event, decode, encode
from zekt_common.kit.handling import Handling
from zekt_common.kit.settlement import Complete, Retry, Settlement
from zekt_common.ports import ReceivedMessage

FILES = sorted(GOLDEN.glob("*.json"))
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
UNKNOWN = {"of_a_later_version": {"nested": [1, "two", None]}}


def contracts() -> dict[str, type[Event]]:
    modules = [importlib.import_module(f"zekt_common.contracts.{topic}") for topic in TOPICS]
    members = [one for module in modules for _, one in inspect.getmembers(module, inspect.isclass)]
    return {one.TYPE: one for one in members if issubclass(one, Event) and one is not Event}


class Reader:
    """A consumer's handling of every contract, and what reached its handlers."""

    def __init__(self) -> None:
        self.read: list[Event] = []
        self._handling = Handling(SUBSCRIPTIONS[0], dict.fromkeys(contracts().values(), self._handle))

    async def settle(self, body: bytes) -> object:
        message = ReceivedMessage(
            message_id="m1", body=body, attempt=1, lock="l1", locked_until=datetime.max.replace(tzinfo=UTC), sequence=1
        )
        return await self._handling.settlement(message)

    async def _handle(self, event: Event, _cause: Envelope) -> Settlement:
        self.read.append(event)
        return Complete()


def content(file: Path) -> dict[str, Any]:
    """Return the golden envelope as plain JSON."""
    found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return found


def test_every_contract_has_a_golden_file_of_its_schema_version() -> None:
    assert {golden_file(contract) for contract in contracts().values()} <= set(FILES)
    assert {example.TYPE for example in EXAMPLES} == set(contracts())


@EACH
async def test_what_an_older_service_has_sent_is_read(file: Path) -> None:
    reader = Reader()
    message = content(file)
    assert await reader.settle(msgspec.json.encode(message)) == Complete()
    assert [event.TYPE for event in reader.read] == [message["type"]]


@EACH
async def test_what_a_newer_service_adds_is_passed_over(file: Path) -> None:
    older, newer = Reader(), Reader()
    message = content(file)
    await older.settle(msgspec.json.encode(message))
    message["data"] |= UNKNOWN
    assert await newer.settle(msgspec.json.encode(message | {"extension": "later"})) == Complete()
    assert newer.read == older.read


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.TYPE)
def test_what_an_older_service_needs_is_still_sent(example: Event) -> None:
    golden, sent = content(golden_file(example)), msgspec.json.decode(encode(sealed(example)))
    assert set(golden) <= set(sent)
    assert {name: sent["data"].get(name) for name in golden["data"]} == golden["data"]


async def test_a_kind_of_message_that_only_a_newer_service_knows_is_passed_over() -> None:
    reader = Reader()
    message = content(FILES[0]) | {"type": "dev.zekt.router.of-a-later-version"}
    assert await reader.settle(msgspec.json.encode(message)) == Complete()
    assert reader.read == []


async def test_a_schema_version_that_only_a_newer_service_knows_waits_for_it() -> None:
    reader = Reader()
    message = content(FILES[0])
    later = msgspec.json.encode(message | {"schemaversion": message["schemaversion"] + 1})
    assert isinstance(await reader.settle(later), Retry)
    assert reader.read == []


@EACH
def test_a_golden_file_is_named_for_what_it_holds(file: Path) -> None:
    envelope = decode(file.read_bytes())
    assert file.name == f"{envelope.type}.v{envelope.schemaversion}.json"
