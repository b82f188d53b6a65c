import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from libs.common.tests.cosmos.account import open_provisioned

from zekt_common.adapters.azure_backend import open_azure_backend
from zekt_common.adapters.azure_readiness import AzureReadiness
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.backend import Backend, Part
from zekt_common.adapters.blob_container import BlobConnection, BlobContainer
from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.master_key_settings import MasterKeySettings
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import BackendUnavailable
from zekt_common.ports import OutgoingMessage
from zekt_sandbox import cosmos, servicebus
from zekt_sandbox.azurite import Azurite

RECOVERS_WITHIN_S = 60.0


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    text: str


@dataclass(frozen=True)
class Azure:
    """The three services, with what provisioning makes for ingress."""

    settings: AzureSettings
    master_key: MasterKeySettings
    cosmos: cosmos.CosmosSandbox
    bus: servicebus.ServiceBusSandbox


@pytest.fixture
async def azure(azurite: Azurite, tmp_path: Path) -> AsyncIterator[Azure]:
    async with cosmos.serving() as account, servicebus.serving(emulator_config()) as namespace:
        settings = AzureSettings(
            servicebus_connection=namespace.connection_string,
            cosmos_endpoint=account.url,
            cosmos_key=account.key,
            blob_connection=azurite.connection_string,
        )
        async with (
            open_provisioned(CosmosConnection(endpoint=account.url, key=account.key)),
            BlobContainer(BlobConnection(connection_string=azurite.connection_string)) as container,
        ):
            await container.ensure()
            yield Azure(settings, MasterKeySettings().within(tmp_path, is_made=True), account, namespace)


@asynccontextmanager
async def opened(azure: Azure, **changes: str) -> AsyncIterator[Backend]:
    settings = dataclasses.replace(azure.settings, **changes)
    async with open_azure_backend(settings, azure.master_key, "ingress") as backend:
        yield backend


async def trouble(backend: Backend, *parts: Part) -> str:
    """What these parts cannot use, all of them unless some are named; empty if they can use everything."""
    return "; ".join(check.detail for check in await backend.checks(*(parts or Part)) if not check.ok)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(RECOVERS_WITHIN_S):
        while not await condition():  # noqa: ASYNC110 - asked for, not announced
            await asyncio.sleep(0.1)


async def test_every_port_works_on_azure(azure: Azure) -> None:
    async with opened(azure) as backend:
        noted = NewEvent(body=Noted(text="x"), source="/zekt/test", subject="1", correlationid="1", causationid="1")
        [event] = await backend.store.append("test/1", [noted], expected_version=0)
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=event)])
        receiver = backend.bus.subscribe("ingress", "router")
        [message] = await receiver.receive(1, timeout_s=60)
        await receiver.complete(message)
        ref = await backend.payloads.put(7, b"body")
        assert message.message_id == event.id
        assert await backend.payloads.get(7, ref.sha256) == b"body"
        async with backend.leases.hold("test"):
            assert await trouble(backend) == ""


async def test_the_services_of_a_process_share_one_client_of_each_kind(azure: Azure) -> None:
    async with opened(azure) as one:
        connections = azure.bus.connection_count
        async with opened(azure) as other:
            assert other.bus is one.bus
            await until(lambda: _is(azure.bus.connection_count == connections))
        assert await trouble(one) == ""


async def _is(value: bool) -> bool:  # noqa: FBT001 - a condition
    return value


async def test_data_keys_in_an_account_of_their_own_are_asked_for_there(azure: Azure) -> None:
    async with cosmos.serving() as account:
        apart = {"cosmos_keys_endpoint": account.url, "cosmos_keys_key": account.key}
        with pytest.raises(BackendUnavailable, match=r"has no container keys: run `zekt provision`"):
            await AsyncExitStack().enter_async_context(opened(azure, **apart))
        way = CosmosConnection(endpoint=account.url, key=account.key)
        async with open_provisioned(way) as database, opened(azure, **apart) as backend:
            await backend.keys.data_key(7)
            assert await database.container(KEYS).read("7", "7") is not None
            account.faults.add("error", status=403, count=None)
            await until(
                partial(_says, backend, "ZEKT_COSMOS_KEYS_ENDPOINT: keys forbids this: check ZEKT_COSMOS_KEYS_KEY")
            )


async def _says(backend: Backend, said: str) -> bool:
    return said in await trouble(backend)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cosmos_endpoint": "http://127.0.0.1:1"}, "ZEKT_COSMOS_ENDPOINT"),
        ({"cosmos_key": "d3Jvbmc="}, "ZEKT_COSMOS_ENDPOINT: .* refuses"),
        ({"cosmos_database": "absent"}, "ZEKT_COSMOS_DATABASE: the database absent has no container .*zekt provision"),
        (
            {
                "servicebus_connection": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;"
                "UseDevelopmentEmulator=true"
            },
            "ZEKT_SERVICEBUS_CONNECTION",
        ),
        (
            {"blob_connection": "AccountName=zekt;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/zekt"},
            "ZEKT_BLOB_CONNECTION: .* cannot be reached",
        ),
    ],
    ids=["cosmos-unreachable", "cosmos-key", "database", "bus-unreachable", "blob-unreachable"],
)
async def test_at_start_what_cannot_be_used_is_one_line_with_its_setting(
    azure: Azure, change: dict[str, str], says: str
) -> None:
    with pytest.raises(BackendUnavailable, match=says) as unavailable:
        async with opened(azure, **change):
            pytest.fail("it opened")
    assert "\n" not in str(unavailable.value)
    assert "c2VjcmV0" not in str(unavailable.value)


async def test_a_wrong_key_for_service_bus_is_refused_at_start(azure: Azure) -> None:
    wrong = azure.bus.connection_string.replace(azure.bus.key, "d3Jvbmc=")
    with pytest.raises(BackendUnavailable, match="ZEKT_SERVICEBUS_CONNECTION") as unavailable:
        async with opened(azure, servicebus_connection=wrong):
            pytest.fail("it opened")
    assert "d3Jvbmc" not in str(unavailable.value)


async def test_an_outage_of_service_bus_shows_and_passes(azure: Azure) -> None:
    async with opened(azure) as backend:
        receiver = backend.bus.subscribe("ingress", "router")
        await receiver.receive(1, timeout_s=0)
        azure.bus.begin_outage()

        async def is_told() -> bool:
            await receiver.receive(1, timeout_s=0.1)
            return "ZEKT_SERVICEBUS_CONNECTION" in await trouble(backend, Part.BUS)

        async def is_well() -> bool:
            await receiver.receive(1, timeout_s=0.1)
            return await trouble(backend) == ""

        await until(is_told)
        assert await trouble(backend, Part.DATABASE, Part.PAYLOADS, Part.KEYS) == ""
        await azure.bus.end_outage()
        await until(is_well)


async def test_an_outage_of_cosmos_shows_and_passes(azure: Azure) -> None:
    async with opened(azure) as backend:
        fault = azure.cosmos.faults.add("error", status=503, count=None)

        async def is_told() -> bool:
            return "ZEKT_COSMOS_ENDPOINT" in await trouble(backend, Part.DATABASE)

        async def is_well() -> bool:
            return await trouble(backend) == ""

        await until(is_told)
        assert "ZEKT_COSMOS_ENDPOINT" in await trouble(backend, Part.KEYS)
        assert await trouble(backend, Part.BUS, Part.PAYLOADS) == ""
        azure.cosmos.faults.active.remove(fault)
        await until(is_well)


async def test_a_service_is_asked_at_most_every_other_second() -> None:
    now, asked = 0.0, 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        raise BackendUnavailable("ZEKT_BLOB_URL: nobody is there")

    readiness = AzureReadiness({"ZEKT_BLOB_URL": ask}, monotonic=lambda: now)
    for _ in range(10):
        assert await readiness.troubles() == ["ZEKT_BLOB_URL: nobody is there"]
    assert asked == 1
    now = 2.0
    await asyncio.gather(*(readiness.troubles() for _ in range(10)))
    assert asked == 2
