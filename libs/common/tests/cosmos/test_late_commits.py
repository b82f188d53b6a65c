"""Events that Cosmos DB commits later than the horizon allows for."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from libs.common.tests.cosmos.account import SERVICE
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from structlog.testing import capture_logs

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.adapters.cosmos_topology import events_of
from zekt_common.envelope import NewEvent, seal
from zekt_common.errors import ClockApart
from zekt_common.telemetry.metrics import install_meter_provider
from zekt_sandbox.cosmos import CosmosSandbox

Note = Callable[..., NewEvent]


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """What is reported."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield reader
    install_meter_provider(None)
    provider.shutdown()


def counted(reader: InMemoryMetricReader) -> list[int]:
    """Return the counts of late commits, one for each container."""
    found: Any = reader.get_metrics_data()
    scopes = [scope for resource in found.resource_metrics for scope in resource.scope_metrics]
    metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == "zekt.cosmos.late_commits"]
    return [point.value for metric in metrics for point in metric.data.data_points]


async def read_all(store: CosmosEventStore) -> list[str]:
    return [event.id for feed in await store.feeds() for event in (await store.read_feed(feed)).events]


async def test_an_event_committed_longer_after_its_stamp_than_is_allowed_for_is_logged_and_counted_once(
    store: CosmosEventStore, account: CosmosSandbox, note: Note, reader: InMemoryMetricReader
) -> None:
    await store.append("run/1", [note("in time")], expected_version=0)
    account.clock.advance(60)
    with pytest.raises(ClockApart):
        await store.append("run/2", [note("late")], expected_version=0)
    with capture_logs() as logs:
        for _ in range(2):
            assert sorted(await read_all(store)) == ["run/1@1", "run/2@1"]
    (told,) = [log for log in logs if log["event"] == "event_committed_late"]
    assert (told["envelope_id"], told["log_level"]) == ("run/2@1", "error")
    assert 40 < told["beyond_margin_s"] <= 60
    assert counted(reader) == [1]


async def test_what_was_copied_from_another_engine_is_not_late(
    database: CosmosDatabase, note: Note, reader: InMemoryMetricReader
) -> None:
    old = seal(note("old"), stream="run/1", version=1, commitid="c", time=datetime.now(UTC) - timedelta(days=30))
    await CosmosImport(database).add_events(SERVICE, [old])
    assert await read_all(CosmosEventStore(database.container(events_of(SERVICE)))) == ["run/1@1"]
    assert not counted(reader)
