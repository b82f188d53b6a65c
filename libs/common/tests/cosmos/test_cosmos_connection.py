"""The connection: shared in the process, priced, and honest about what went wrong."""

from collections.abc import Iterator

import pytest
from libs.common.tests.cosmos.account import SERVICE
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from tests.ports import free_port
from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_topology import definitions, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.errors import BackendUnavailable
from zekt_common.ports import Put
from zekt_common.telemetry.metrics import install_meter_provider
from zekt_sandbox.cosmos import CosmosSandbox

ANOTHER_KEY = "bm8ga2V5IG9mIHRoaXMgYWNjb3VudA=="


@pytest.fixture
def metrics() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield reader
    install_meter_provider(None)
    provider.shutdown()


async def test_whoever_opens_the_same_account_shares_one_client(connection: CosmosConnection) -> None:
    async with open_cosmos(connection) as one, open_cosmos(connection) as other:
        assert one.client is other.client
    async with open_cosmos(connection) as again:
        assert again.client is not one.client


async def test_a_wrong_key_is_told_by_its_setting(account: CosmosSandbox) -> None:
    with pytest.raises(BackendUnavailable, match="ZEKT_COSMOS_KEY") as refused:
        async with open_cosmos(CosmosConnection(endpoint=account.url, key=ANOTHER_KEY)):
            pass
    assert ANOTHER_KEY not in str(refused.value)


async def test_an_account_that_is_not_there_is_told_by_its_setting() -> None:
    with pytest.raises(BackendUnavailable, match="ZEKT_COSMOS_ENDPOINT: the account cannot be reached"):
        async with open_cosmos(CosmosConnection(endpoint=f"http://127.0.0.1:{free_port()}", key=ANOTHER_KEY)):
            pass


def test_a_key_is_not_shown() -> None:
    assert ANOTHER_KEY not in repr(CosmosConnection(endpoint="http://127.0.0.1", key=ANOTHER_KEY))


async def test_the_price_of_every_answer_is_recorded(views: CosmosViews, metrics: InMemoryMetricReader) -> None:
    await views.write([Put(partition="p", id="a", body=b"1")])
    await views.get("p", "a")
    await views.get("p", "absent")
    await views.listing("p")
    batch = metrics.get_metrics_data()
    assert batch is not None
    (metric,) = batch.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("zekt.cosmos.request_charge", "{RU}")
    points = [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]
    assert {(point.attributes or {})["operation"] for point in points} == {"upsert", "read", "query"}
    assert {(point.attributes or {})["container"] for point in points} == {views_of(SERVICE)}
    assert all(point.sum > 0 for point in points)


async def test_containers_are_as_their_definitions_say(database: CosmosDatabase) -> None:
    for definition in definitions((SERVICE,)):
        properties = await database.proxy.get_container_client(definition.name).read()
        assert properties["partitionKey"]["paths"] == [definition.partition_key]
        assert properties.get("defaultTtl") == definition.default_ttl_s
        assert properties["indexingPolicy"]["includedPaths"] == definition.indexing_policy["includedPaths"]
