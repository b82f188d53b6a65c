"""The engines that every contract suite runs over; the next one joins by a line in `ENGINES`."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from libs.common.tests.azure.azurite import azurite_or_skip
from libs.common.tests.azure.vault import VaultProcess, vault_process
from libs.common.tests.contracts.azure_engine import (
    BLOB_SUITES,
    BUS_SUITES,
    SUITES,
    SURVIVAL_SUITES,
    VAULT_SUITES,
    AzureProcesses,
    open_azure,
    open_azure_with_blobs,
    open_azure_with_bus,
    open_azure_with_vault,
)
from libs.common.tests.contracts.children import StartChild, children
from libs.common.tests.cosmos.account import account_process

from tests.e2e.azure_account import AzureAccount, running_account
from tests.emulators.containers import WANTED, cosmos_emulator
from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_sandbox.azurite import Azurite

OpenEngine = Callable[[Path, Clock], AbstractAsyncContextManager[Backend]]


def open_sqlite(directory: Path, clock: Clock) -> AbstractAsyncContextManager[Backend]:
    return open_backend(directory, "ingress", clock=clock)


def open_sqlite_with_writers(directory: Path, clock: Clock) -> AbstractAsyncContextManager[Backend]:
    return open_backend(directory, "ingress", clock=clock, writer_process=True)


AZURE, AZURE_WITH_BLOBS, AZURE_WITH_BUS, AZURE_WITH_VAULT = "azure", "azure-blobs", "azure-bus", "azure-vault"
AZURE_PROCESSES = "azure-processes"
WITH_WRITERS = "sqlite-writers"
ENGINES: dict[str, OpenEngine] = {
    "sqlite": open_sqlite,
    WITH_WRITERS: open_sqlite_with_writers,
    AZURE_WITH_BUS: open_azure_with_bus,
}
COMMITTED_BY_WRITERS = {"test_event_store", "test_views", "test_payloads", "test_survival", "test_waking"}


class ManualClock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        tomorrow = datetime.now(UTC) + timedelta(days=1)  # a lock that ends then has not expired for a vendor's client
        self.now = tomorrow.replace(microsecond=0)
        self.followers: list[Callable[[], None]] = []

    def __call__(self) -> datetime:
        return self.now

    def __reduce__(self) -> tuple[object, ...]:
        """In another process it stands where it stood when it was sent there."""
        return partial, (from_micros, to_micros(self.now))

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for follow in self.followers:
            follow()


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    text: str


def noted(text: str, subject: str = "1/2") -> NewEvent:
    return NewEvent(
        body=Noted(text=text),
        source="/zekt/test",
        subject=subject,
        correlationid=subject,
        causationid="cause",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        accountid="7",
    )


def sealed(stream: str, text: str = "", subject: str = "1/2") -> Envelope:
    return seal(noted(text or stream, subject), stream=stream, version=1, commitid="c", time=datetime.now(UTC))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each suite over every engine, but over writer processes only what they commit: starting them takes long."""
    if "engine" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        engines = ["sqlite"] + [WITH_WRITERS] * (module in COMMITTED_BY_WRITERS) + [AZURE] * (module in SUITES)
        engines += [AZURE_WITH_BLOBS] * (module in BLOB_SUITES) + [AZURE_WITH_BUS] * (module in BUS_SUITES)
        engines += [AZURE_WITH_VAULT] * (module in VAULT_SUITES)
        engines += [AZURE_PROCESSES] * (module in SURVIVAL_SUITES and not WANTED)
        metafunc.parametrize("engine", engines, scope="session")


@pytest.fixture
def counts_scheduled(engine: str) -> bool:
    """Whether the engine's backlog counts what is scheduled, which takes a look at all of a topic on Service Bus."""
    return engine != AZURE_WITH_BUS


@pytest.fixture(scope="session")
def cosmos_account() -> Iterator[CosmosConnection]:
    """The stand-in, or the official emulator where `make test-emulators` asks for it."""
    with cosmos_emulator() if WANTED else account_process() as account:
        yield account


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultProcess]:
    with vault_process(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="session")
def azure_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAccount]:
    with running_account(tmp_path_factory.mktemp("azure")) as account:
        yield account


@pytest.fixture(scope="session")
def open_engine(engine: str, request: pytest.FixtureRequest) -> OpenEngine:
    """Open the engine on a directory with a clock: again on the same directory, the same content."""
    if engine == AZURE:
        return partial(open_azure, request.getfixturevalue("cosmos_account"))
    if engine == AZURE_WITH_BLOBS:
        accounts = request.getfixturevalue("cosmos_account"), request.getfixturevalue("azurite")
        return partial(open_azure_with_blobs, *accounts)
    if engine == AZURE_WITH_VAULT:
        accounts = request.getfixturevalue("cosmos_account"), request.getfixturevalue("vault")
        return partial(open_azure_with_vault, *accounts)
    if engine == AZURE_PROCESSES:
        return AzureProcesses(request.getfixturevalue("azure_account"))
    return ENGINES[engine]


@pytest.fixture(scope="session")
def manual_clock() -> type[ManualClock]:
    return ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(open_engine: OpenEngine, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Backend]:
    async with open_engine(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def real_time_backend(open_engine: OpenEngine, tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_engine(tmp_path, utc_now) as opened:
        yield opened


@pytest.fixture
async def start(open_engine: OpenEngine, engine: str, tmp_path: Path) -> AsyncIterator[StartChild]:
    """Start a process that works on the test's directory until it is killed."""
    environment: dict[str, str] = {}
    if isinstance(open_engine, AzureProcesses):
        await open_engine.account.clear(tmp_path)
        environment = open_engine.account.settings
    async with children(engine, tmp_path, environment) as begin:
        yield begin


@pytest.fixture(scope="session")
def note() -> Callable[..., NewEvent]:
    return noted


@pytest.fixture(scope="session")
def envelope() -> Callable[..., Envelope]:
    return sealed
