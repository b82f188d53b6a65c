"""Stand-ins for Azure's services, each in a process of its own, which outlive every suite that is killed on them."""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from azure.storage.blob import ContainerClient
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_cli.hosting.child import Child, child
from zekt_cli.provision import azure as provisioning
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.blob_container import CONTAINER as PAYLOADS
from zekt_common.adapters.master_key_file import ensure_key_file
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_sandbox.azurite import Azurite

STARTS_WITHIN_S = 120
ENDS_WITHIN_S = 3
KEY_RANGES = "2"


@dataclass
class AzureAccount:
    """The stand-ins and their switches; `settings` lead a suite to what `clear` made last."""

    bus_connection: str
    bus_controls: str
    cosmos_url: str
    cosmos_key: str
    azurite: Azurite
    settings: dict[str, str] = field(default_factory=dict, repr=False)
    _databases: Iterator[int] = field(default_factory=itertools.count, repr=False)

    async def clear(self, directory: Path) -> None:
        """Forget faults, messages and payloads, and provision a database that nobody has used."""
        await self.bus("DELETE", "/outage")
        await self.bus("DELETE", "/faults")
        await self.bus("POST", "/purge")
        await self.cosmos("DELETE", "")
        master_key = directory / "master.key"
        ensure_key_file(master_key)
        self.settings = {
            "ZEKT_BACKEND": "azure",
            "ZEKT_SERVICEBUS_CONNECTION": self.bus_connection,
            "ZEKT_COSMOS_ENDPOINT": self.cosmos_url,
            "ZEKT_COSMOS_KEY": self.cosmos_key,
            "ZEKT_COSMOS_DATABASE": f"zekt-{next(self._databases)}",
            "ZEKT_BLOB_CONNECTION": self.azurite.connection_string,
            "ZEKT_MASTER_KEY_FILE": str(master_key),
        }
        self._forget_payloads()
        async with connections(AzureSettings.from_env(self.settings)) as ways:
            await provisioning.provision(ways, dry_run=False)

    async def bus(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Use a control of the Service Bus stand-in."""
        return await _control(method, self.bus_controls + path, body)

    async def cosmos(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Use a fault switch of the Cosmos DB stand-in."""
        return await _control(method, f"{self.cosmos_url.rstrip('/')}/_faults{path}", body)

    async def held(self, topic: str, subscription: str) -> dict[str, int]:
        """How many messages a subscription holds, by their state."""
        shown = await self.bus("GET", "/")
        counts: dict[str, int] = shown["topics"][topic]["subscriptions"][subscription]
        return counts

    @contextlib.asynccontextmanager
    async def open_bus(self) -> AsyncIterator[ServiceBusBus]:
        """Open the bus beside the suite."""
        async with (
            connections(AzureSettings.from_env(self.settings)) as ways,
            open_servicebus_bus(ways.servicebus) as bus,
        ):
            yield bus

    def _forget_payloads(self) -> None:
        """Delete the container: what lies in it was sealed with the keys of another database."""
        with ContainerClient.from_connection_string(self.azurite.connection_string, PAYLOADS) as container:
            if container.exists():
                container.delete_container()


@contextlib.contextmanager
def running_account(directory: Path) -> Iterator[AzureAccount]:
    """Run the stand-ins until the block ends; without Node the test is skipped, and fails in CI."""
    config = directory / "Config.json"
    config.write_text(json.dumps(emulator_config()))
    with (
        azurite_or_skip() as azurite,
        _stand_in(directory, "servicebus", "--config", str(config), "--control-port", "0") as bus,
        _stand_in(directory, "cosmos", "--key-ranges", KEY_RANGES) as cosmos,
    ):
        bus_ready, cosmos_ready = (json.loads(each.ready_line(STARTS_WITHIN_S)) for each in (bus, cosmos))
        yield AzureAccount(
            bus_connection=bus_ready["connection_string"],
            bus_controls=f"http://127.0.0.1:{bus_ready['control_port']}",
            cosmos_url=cosmos_ready["url"],
            cosmos_key=cosmos_ready["key"],
            azurite=azurite,
        )


def _stand_in(directory: Path, name: str, *options: str) -> contextlib.AbstractContextManager[Child]:
    arguments = [f"zekt_sandbox.{name}", "--port", "0", *options]
    return child(arguments, log=directory / f"{name}.log", ends_within_s=ENDS_WITHIN_S)


async def _control(method: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.request(method, url, json=body) as answer:
        content: dict[str, Any] = await answer.json()
        assert answer.status == 200, content
        return content
