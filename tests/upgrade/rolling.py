"""Four services behind fixed addresses, each replaced by a process of other code while the others go on."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.e2e.suite import SERVICES, Suite, settings_for
from tests.ports import free_port
from tests.upgrade.address import Address
from tests.upgrade.previous import import_path
from zekt_sandbox import GitHubSandbox

ENDS_WITHIN_S: Final = 20
ON_ITS_WAY_S: Final = 1.0
"""How long a process is kept that gets no more connections, so that those made before reach it: the chart's preStop."""


@dataclass
class RollingSuite(Suite):
    """`ports` are the addresses', which stay; processes listen on ports of their own."""

    addresses: dict[str, tuple[Address, Address]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = {name: (Address(), Address()) for name in SERVICES}
        self.ports = {name: (public.port, internal.port) for name, (public, internal) in self.addresses.items()}

    async def start_from(self, root: Path) -> None:
        """Start every service from the sources there."""
        await asyncio.gather(*(self.replace(name, root) for name in SERVICES))

    async def replace(self, name: str, root: Path, *, during: AbstractAsyncContextManager[None] | None = None) -> None:
        """Start the service from there, lead its addresses to it once it is ready, and tell the one before to end.

        `during` is entered before the addresses change and left when the one before was told.
        """
        ports = free_port(), free_port()
        process = self._spawn(name, ports, root, self.data_dir.parent / f"{name}.log")
        self.processes.append(process)
        await self.ready_at(f"http://127.0.0.1:{ports[0]}", name, process)
        before, self.running[name] = self.running.get(name), process
        async with during or nullcontext():
            for address, port in zip(self.addresses[name], ports, strict=True):
                address.lead_to(port)
            if before is not None:
                await asyncio.sleep(ON_ITS_WAY_S)
                before.terminate()
        if before is not None:
            await self._ended(name, before)

    async def refused(self, name: str, root: Path) -> tuple[int, str]:
        """Start the service from there, which gives up, and return its exit code and its last line."""
        said = self.data_dir.parent / "refused.log"
        process = self._spawn(name, (free_port(), free_port()), root, said)
        self.processes.append(process)
        code = await asyncio.to_thread(process.wait, ENDS_WITHIN_S)
        self.processes.remove(process)
        return code, said.read_text().splitlines()[-1]

    def _spawn(self, name: str, ports: tuple[int, int], root: Path, said: Path) -> subprocess.Popen[bytes]:
        settings = {"ZEKT_PORT": str(ports[0]), "ZEKT_INTERNAL_PORT": str(ports[1]), "PYTHONPATH": import_path(root)}
        with said.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"zekt_{name}"],
                env=os.environ | self.environment | settings | {"ZEKT_IDENTITY_URL": self.identity_url},
                stdout=log,
                stderr=log,
            )

    async def _ended(self, name: str, process: subprocess.Popen[bytes]) -> None:
        code = await asyncio.to_thread(process.wait, ENDS_WITHIN_S)
        assert code == 0, f"{name} ended with {code}"
        self.processes.remove(process)


@asynccontextmanager
async def rolling_suite(directory: Path, sandbox: GitHubSandbox, root: Path) -> AsyncIterator[RollingSuite]:
    """Run the services from the sources at `root` until the block ends; whatever is left is killed."""
    connector = aiohttp.TCPConnector(limit=64, force_close=True)  # GitHub opens a connection for each webhook
    async with aiohttp.ClientSession(connector=connector) as http, AsyncExitStack() as listening:
        suite = RollingSuite("four processes", directory / "data", settings_for(directory, sandbox), http)
        for pair in suite.addresses.values():
            for address in pair:
                await listening.enter_async_context(address.open())
        sandbox.webhook_url = suite.webhook_url
        try:
            await suite.start_from(root)
            yield suite
        finally:
            suite.kill()
