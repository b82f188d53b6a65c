import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from azure.servicebus.management import CorrelationRuleFilter, SqlRuleFilter, TrueRuleFilter
from libs.sandbox.tests.servicebus.conftest import EMPTY, FAST
from libs.sandbox.tests.servicebus.entra import Credential

from zekt_sandbox.servicebus import AUDIENCE, ServiceBusSandbox, serving

WINDOW = timedelta(minutes=7)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox(tls: ssl.SSLContext) -> AsyncIterator[ServiceBusSandbox]:
    async with serving(EMPTY, tls=tls, administration_port=0, token_audience=AUDIENCE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def client(
    sandbox: ServiceBusSandbox, certificate: tuple[Path, Path]
) -> AsyncIterator[ServiceBusAdministrationClient]:
    connection = sandbox.administration_connection_string
    assert connection is not None
    async with ServiceBusAdministrationClient.from_connection_string(
        connection, connection_verify=str(certificate[0]), retry_total=0
    ) as connected:
        yield connected


async def test_a_topic_is_created_read_changed_listed_and_deleted(client: ServiceBusAdministrationClient) -> None:
    created = await client.create_topic(
        "t", requires_duplicate_detection=True, duplicate_detection_history_time_window=WINDOW
    )
    assert created.requires_duplicate_detection
    await client.update_topic(await client.get_topic("t"), default_message_time_to_live=MINUTE)
    found = await client.get_topic("T")
    assert (found.name, found.requires_duplicate_detection) == ("T", True)
    assert found.duplicate_detection_history_time_window == WINDOW
    assert found.default_message_time_to_live == MINUTE
    assert [topic.name async for topic in client.list_topics()] == ["t"]
    await client.delete_topic("t")
    with pytest.raises(ResourceNotFoundError):
        await client.get_topic("t")
    with pytest.raises(ResourceNotFoundError):
        await client.delete_topic("t")


async def test_duplicate_detection_cannot_be_changed(client: ServiceBusAdministrationClient) -> None:
    topic = await client.create_topic("t")
    with pytest.raises(HttpResponseError, match="cannot be changed") as refused:
        await client.update_topic(topic, requires_duplicate_detection=True)
    assert refused.value.status_code == 400
    assert not (await client.get_topic("t")).requires_duplicate_detection


async def test_a_subscription_is_created_read_changed_listed_and_deleted(
    client: ServiceBusAdministrationClient,
) -> None:
    await client.create_topic("t")
    await client.create_subscription("t", "s", lock_duration=MINUTE, max_delivery_count=2000)
    await client.update_subscription(
        "t", await client.get_subscription("t", "s"), dead_lettering_on_message_expiration=True
    )
    found = await client.get_subscription("t", "s")
    assert (found.lock_duration, found.max_delivery_count) == (MINUTE, 2000)
    assert found.dead_lettering_on_message_expiration
    assert not found.requires_session
    assert [subscription.name async for subscription in client.list_subscriptions("t")] == ["s"]
    await client.delete_subscription("t", "s")
    with pytest.raises(ResourceNotFoundError):
        await client.get_subscription("t", "s")


async def test_rules_are_created_listed_changed_and_deleted(client: ServiceBusAdministrationClient) -> None:
    await client.create_topic("t")
    await client.create_subscription("t", "s")
    wanted = CorrelationRuleFilter(correlation_id="c", label="l", properties={"for": "*"})
    await client.create_rule("t", "s", "mine", filter=wanted)
    found = {rule.name: rule.filter async for rule in client.list_rules("t", "s")}
    assert isinstance(found["$Default"], TrueRuleFilter)
    mine = found["mine"]
    assert isinstance(mine, CorrelationRuleFilter)
    assert (mine.correlation_id, mine.label, mine.properties) == ("c", "l", {"for": "*"})
    rule = await client.get_rule("t", "s", "mine")
    rule.filter = CorrelationRuleFilter(properties={"for": "s"})
    await client.update_rule("t", "s", rule)
    changed = (await client.get_rule("t", "s", "mine")).filter
    assert isinstance(changed, CorrelationRuleFilter)
    assert changed.properties == {"for": "s"}
    await client.delete_rule("t", "s", "$Default")
    assert [rule.name async for rule in client.list_rules("t", "s")] == ["mine"]


async def test_what_is_created_receives_messages(
    client: ServiceBusAdministrationClient, sandbox: ServiceBusSandbox, certificate: tuple[Path, Path]
) -> None:
    await client.create_topic("t")
    for name in ("a", "b"):
        await client.create_subscription("t", name)
        await client.create_rule("t", name, "for", filter=CorrelationRuleFilter(properties={"for": name}))
        await client.delete_rule("t", name, "$Default")
    options: dict[str, Any] = {"custom_endpoint_address": sandbox.endpoint, "connection_verify": str(certificate[0])}
    bus = ServiceBusClient("zekt.servicebus.windows.net", Credential(), **options, **FAST)
    async with bus, bus.get_topic_sender("t") as sender:
        await sender.send_messages(Message("x", application_properties={"for": "a"}))
    counts = [(await client.get_subscription_runtime_properties("t", name)).active_message_count for name in "ab"]
    assert counts == [1, 0]


async def test_many_entities_are_listed_in_pages(client: ServiceBusAdministrationClient) -> None:
    names = [f"t{number:03}" for number in range(120)]
    for name in names:
        await client.create_topic(name)
    assert [topic.name async for topic in client.list_topics()] == names


async def test_what_exists_is_not_created_again(client: ServiceBusAdministrationClient) -> None:
    await client.create_topic("t")
    with pytest.raises(ResourceExistsError):
        await client.create_topic("T")


async def test_what_is_missing_is_not_found(client: ServiceBusAdministrationClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.create_subscription("nowhere", "s")
    topic = await client.create_topic("t")
    await client.delete_topic("t")
    with pytest.raises(ResourceNotFoundError):
        await client.update_topic(topic)
    with pytest.raises(ResourceNotFoundError):
        [rule async for rule in client.list_rules("t", "s")]


async def test_values_outside_the_service_s_limits_are_refused(client: ServiceBusAdministrationClient) -> None:
    await client.create_topic("t")
    for wrong in (
        partial(client.create_topic, "u", duplicate_detection_history_time_window=timedelta(days=8)),
        partial(client.create_subscription, "t", "s", lock_duration=timedelta(minutes=6)),
        partial(client.create_subscription, "t", "s", max_delivery_count=2001),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await wrong()
        assert refused.value.status_code == 400


async def test_what_is_not_stood_in_for_is_refused(client: ServiceBusAdministrationClient) -> None:
    await client.create_topic("t")
    await client.create_subscription("t", "s")
    for wrong in (
        partial(client.create_subscription, "t", "u", requires_session=True),
        partial(client.create_subscription, "t", "u", forward_to="t"),
        partial(client.create_rule, "t", "s", "r", filter=SqlRuleFilter("a = 1")),
        partial(client.create_rule, "t", "s", "r", filter=CorrelationRuleFilter(properties={"n": 1})),
    ):
        with pytest.raises(HttpResponseError, match="The stand-in") as refused:
            await wrong()
        assert refused.value.status_code == 400


async def test_a_credential_of_entra_id_is_taken_and_another_audience_refused(
    sandbox: ServiceBusSandbox, certificate: tuple[Path, Path]
) -> None:
    host, trust = f"127.0.0.1:{sandbox.administration_port}", str(certificate[0])
    credential = Credential()
    async with ServiceBusAdministrationClient(host, credential, connection_verify=trust) as client:
        await client.create_topic("t")
    assert set(credential.scopes) == {"https://servicebus.azure.net//.default"}
    other = Credential(audience="https://management.azure.com/")
    async with ServiceBusAdministrationClient(host, other, connection_verify=trust, retry_total=0) as client:
        with pytest.raises(ClientAuthenticationError):
            await client.get_topic("t")


async def test_the_administration_needs_tls() -> None:
    with pytest.raises(ValueError, match="over TLS only"):
        async with serving(EMPTY, administration_port=0):
            pass
