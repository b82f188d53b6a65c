"""Four services behind fixed addresses, each replaced by a process of other code while the others go on."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.e2e.suite import SERVICES, Suite, free_port, settings_for
from tests.upgrade.address import Address
from tests.upgrade.previous import import_path
from zekt_sandbox import GitHubSandbox

ENDS_WITHIN_S: Final = 20


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

    async def replace(self, name: str, root: Path) -> None:
        """Start the service from there, lead its addresses to it once it is ready, and end the one before."""
        ports = free_port(), free_port()
        process = self._spawn(name, ports, root)
        self.processes.append(process)
        await self.ready_at(f"http://127.0.0.1:{ports[0]}", name)
        for address, port in zip(self.addresses[name], ports, strict=True):
            address.lead_to(port)
        before, self.running[name] = self.running.get(name), process
        if before is not None:
            await self._end(name, before)

    def _spawn(self, name: str, ports: tuple[int, int], root: Path) -> subprocess.Popen[bytes]:
        settings = {"ZEKT_PORT": str(ports[0]), "ZEKT_INTERNAL_PORT": str(ports[1]), "PYTHONPATH": import_path(root)}
        with (self.data_dir.parent / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"zekt_{name}"],
                env=os.environ | self.environment | settings | {"ZEKT_IDENTITY_URL": self.identity_url},
                stdout=log,
                stderr=log,
            )

    async def _end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
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
