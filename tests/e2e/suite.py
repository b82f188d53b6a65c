"""The suite as real processes, in both topologies, for tests that start, kill and restart it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tests.ports import free_port
from zekt_sandbox import GitHubSandbox

Topology = Literal["one process", "four processes"]
Engine = Literal["sqlite", "azure"]
SERVICES = ("identity", "ingress", "router", "dispatcher")
READY_S = 120


@dataclass(frozen=True)
class Setup:
    """What a suite is given beside settings for all: those of one of four processes, and that people sign in."""

    of_service: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    with_sign_in: bool = False


PLAIN = Setup()


@dataclass
class Suite:
    """Processes on one data directory; `url` gives each service's public base URL."""

    topology: Topology
    data_dir: Path
    environment: dict[str, str]
    http: aiohttp.ClientSession
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    of_service: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("suite",) if self.topology == "one process" else SERVICES
        self.ports = {name: (free_port(), free_port()) for name in names}

    def url(self, service: str) -> str:
        public, _ = self.ports.get(service) or self.ports["suite"]
        return f"http://127.0.0.1:{public}"

    @property
    def webhook_url(self) -> str:
        return f"{self.url('ingress')}/webhooks/github"

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.data_dir / 'operator.token').read_text().strip()}"}

    async def start(self) -> None:
        """Start every process and wait until each is ready."""
        for name, (public, internal) in self.ports.items():
            command = ["zekt_cli", "up"] if name == "suite" else [f"zekt_{name}"]
            settings = {"ZEKT_PORT": str(public), "ZEKT_INTERNAL_PORT": str(internal)} | dict(
                self.of_service.get(name, {})
            )
            log = (self.data_dir.parent / f"{name}.log").open("ab")
            with log:
                self.processes.append(
                    subprocess.Popen(  # noqa: ASYNC220 - starting takes a millisecond, and nothing else runs
                        [sys.executable, "-m", *command],
                        env=os.environ | self.environment | settings | {"ZEKT_IDENTITY_URL": self.identity_url},
                        stdout=log,
                        stderr=log,
                    )
                )
        started = zip(self.ports, self.processes, strict=True)
        await asyncio.gather(*(self.ready_at(self.url(name), name, process) for name, process in started))

    @property
    def identity_url(self) -> str:
        """Where the other services look tokens up."""
        _, internal = self.ports.get("identity") or self.ports["suite"]
        return f"http://127.0.0.1:{internal}"

    async def ready_at(self, url: str, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until the service that listens there is ready, or has ended."""
        last = "no answer"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                while process.poll() is None:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self.http.get(f"{url}/ready") as answer:
                            last = await answer.text()
                            if answer.status == 200:
                                return
                    await asyncio.sleep(0.02)
        log = (self.data_dir.parent / f"{name}.log").read_text()[-3000:]
        state = "is not ready" if process.poll() is None else f"has ended with {process.returncode}"
        raise AssertionError(f"{name} {state}: {last}\n{log}")

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Stop one process where it is, until the block ends."""
        process = dict(zip(self.ports, self.processes, strict=True))[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL every process at once; whatever they were doing stays as it is."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def stop(self) -> list[int]:
        """Ask every process to end and return the exit codes."""
        for process in self.processes:
            process.terminate()
        codes = [process.wait(60) for process in self.processes]
        self.processes.clear()
        return codes

    async def apply(self, catalog: dict[str, Any]) -> dict[str, Any]:
        """Apply the catalog and wait until ingress has seen it."""
        answer = await self.call("POST", "router", "/api/catalog/apply", catalog)
        positions = answer.get("positions", [])
        if positions:
            await self.call("POST", "ingress", "/api/operations/ingress/wait", {"eventIds": positions, "timeoutS": 30})
        return answer

    async def call(
        self, method: str, service: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Call an operator endpoint and return its JSON; anything but a 2xx fails the test."""
        url = self.url(service) + path
        async with self.http.request(method, url, json=body, params=query, headers=self.operator) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            content: dict[str, Any] = await answer.json()
            return content


def settings_for(directory: Path, sandbox: GitHubSandbox) -> dict[str, str]:
    """Return the settings of a suite that keeps its data there and takes the stand-in for GitHub."""
    key_file = directory / "app.pem"
    key_file.write_text(sandbox.private_key_pem)
    return {
        "ZEKT_DATA_DIR": str(directory / "data"),
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_OIDC_ISSUER": sandbox.issuer,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": sandbox.webhook_secret,
    }


def sign_in_at(url: str, sandbox: GitHubSandbox) -> dict[str, str]:
    """Return the settings by which people sign in there and every service knows them, and let them come back."""
    sandbox.callback_urls = [f"{url}/auth/callback"]
    return {
        "ZEKT_PUBLIC_URL": url,
        "ZEKT_GITHUB_OAUTH_CLIENT_ID": sandbox.client_id,
        "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": sandbox.client_secret,
    }


@contextlib.asynccontextmanager
async def running_suite(
    topology: Topology, directory: Path, sandbox: GitHubSandbox, setup: Setup = PLAIN, /, **settings: str
) -> AsyncIterator[Suite]:
    """Run the suite against the stand-in until the block ends; it is killed if the block left it running."""
    environment = settings_for(directory, sandbox) | settings
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as http:
        suite = Suite(topology, directory / "data", environment, http, of_service=setup.of_service)
        sandbox.webhook_url = suite.webhook_url
        if setup.with_sign_in:
            suite.environment |= sign_in_at(suite.url("identity"), sandbox)
        await suite.start()
        try:
            yield suite
        finally:
            suite.kill()
