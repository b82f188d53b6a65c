"""The official emulators in containers, for the tests that are asked to run on them by `make test-emulators`."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy, PortWaitStrategy

from zekt_cli.hosting.child import child
from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.servicebus_connection import ServiceBusConnection

WANTED: Final = os.environ.get("ZEKT_TEST_EMULATORS") == "official"
CONFIG: Final = Path(__file__).parents[2] / "deploy" / "servicebus" / "Config.json"
COSMOS_PORT: Final = 8081
AMQP_PORT: Final = 5672
UP_WITHIN_S: Final = 180
STARTS_WITHIN_S: Final = 30
ENDS_WITHIN_S: Final = 3

# The emulator's key is the same everywhere, and published by who makes it.
COSMOS_KEY: Final = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="


@contextmanager
def cosmos_emulator() -> Iterator[CosmosConnection]:
    """Run the emulator of Cosmos DB on the port that it tells its clients, so it must be free on this machine."""
    image = _image("COSMOS_EMULATOR_IMAGE", "mcr.microsoft.com/cosmosdb/linux/azure-cosmos-emulator:vnext-preview")
    emulator = DockerContainer(image).with_bind_ports(COSMOS_PORT, COSMOS_PORT)
    emulator.with_command(["--protocol", "http", "--enable-explorer", "false"])
    emulator.waiting_for(PortWaitStrategy(COSMOS_PORT).with_startup_timeout(UP_WITHIN_S))
    with emulator:
        yield CosmosConnection(endpoint=f"http://127.0.0.1:{COSMOS_PORT}", key=COSMOS_KEY)


@contextmanager
def servicebus_stand_in(directory: Path) -> Iterator[ServiceBusConnection]:
    """Run our own stand-in, with the same topology, as a process of its own."""
    arguments = ["zekt_sandbox.servicebus", "--port", "0", "--config", str(CONFIG)]
    with child(arguments, log=directory / "servicebus.log", ends_within_s=ENDS_WITHIN_S) as running:
        ready = json.loads(running.ready_line(STARTS_WITHIN_S))
        yield ServiceBusConnection(connection_string=ready["connection_string"])


@contextmanager
def servicebus_emulator() -> Iterator[ServiceBusConnection]:
    """Run the emulator of Service Bus, with our topology, beside the SQL Server that it keeps its messages in."""
    password = f"Aa1-{secrets.token_urlsafe(24)}"
    with Network() as network, _sql_server(network, password), _servicebus(network, password) as emulator:
        host, port = emulator.get_container_host_ip(), emulator.get_exposed_port(AMQP_PORT)
        key = "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE"
        yield ServiceBusConnection(connection_string=f"Endpoint=sb://{host}:{port};{key};UseDevelopmentEmulator=true;")


def _sql_server(network: Network, password: str) -> DockerContainer:
    image = _image("SQL_SERVER_IMAGE", "mcr.microsoft.com/mssql/server:2022-latest")
    server = DockerContainer(image).with_network(network).with_network_aliases("sql")
    return server.with_envs(ACCEPT_EULA="Y", MSSQL_SA_PASSWORD=password)


def _servicebus(network: Network, password: str) -> DockerContainer:
    image = _image("SERVICEBUS_EMULATOR_IMAGE", "mcr.microsoft.com/azure-messaging/servicebus-emulator:latest")
    emulator = DockerContainer(image).with_network(network).with_exposed_ports(AMQP_PORT)
    emulator.with_envs(ACCEPT_EULA="Y", SQL_SERVER="sql", MSSQL_SA_PASSWORD=password)
    emulator.with_volume_mapping(CONFIG, "/ServiceBus_Emulator/ConfigFiles/Config.json")
    up = LogMessageWaitStrategy("Emulator Service is Successfully Up").with_startup_timeout(UP_WITHIN_S)
    return emulator.waiting_for(up)


def _image(setting: str, default: str) -> str:
    """Return the image that a site's mirror serves, if the environment names one."""
    return os.environ.get(setting) or default
