"""A fixed address for processes that come and go, as a Kubernetes Service gives one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.ports import free_port


class Address:
    """Passes each new connection on to the process that it leads to now; connections under way stay where they are."""

    def __init__(self) -> None:
        self.port = free_port()
        self._target = 0

    def lead_to(self, port: int) -> None:
        """Pass new connections on to this port."""
        self._target = port

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()

    async def _pass_on(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            client_writer.close()
            return
        await asyncio.gather(_copy(client_reader, writer), _copy(reader, client_writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
