"""The engines that every contract suite runs over; the next one joins by a line in `ENGINES`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.clock import Clock, utc_now
from zekt_common.envelope import Envelope, Event, NewEvent, seal

OpenEngine = Callable[[Path, Clock], AbstractAsyncContextManager[Backend]]


def open_sqlite(directory: Path, clock: Clock) -> AbstractAsyncContextManager[Backend]:
    return open_backend(directory, "ingress", clock=clock)


ENGINES: dict[str, OpenEngine] = {"sqlite": open_sqlite}


class ManualClock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


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


@pytest.fixture(scope="session", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def open_engine(engine: str) -> OpenEngine:
    """Open the engine on a directory with a clock: again on the same directory, the same content."""
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


@pytest.fixture(scope="session")
def note() -> Callable[..., NewEvent]:
    return noted


@pytest.fixture(scope="session")
def envelope() -> Callable[..., Envelope]:
    return sealed
