"""A wire to a service on this machine that can be cut or hang, for services that have no switch of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.ports import free_port

CHUNK = 65_536


@dataclass
class Wire:
    """Passes on whatever comes to `port`; while it is cut, connections are refused."""

    to: tuple[str, int]
    port: int = field(default_factory=free_port)
    _server: asyncio.Server | None = None
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    def hang(self) -> None:
        """Keep connections, and let nothing through."""
        self._flows.clear()

    def flow(self) -> None:
        """Let through what has come, and what will."""
        self._flows.set()

    async def mend(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Drop every connection and take no more."""
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await self._server.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.to)
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            await asyncio.gather(_pump(reader, far_writer, self._flows), _pump(far_reader, writer, self._flows))
        finally:
            self._ends -= ends


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """Put a wire before the service at `url`."""
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    wire = Wire((where.hostname, where.port))
    await wire.mend()
    wire.flow()
    try:
        yield wire
    finally:
        await wire.cut()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            await flows.wait()
            writer.write(chunk)
            await writer.drain()
    writer.close()
