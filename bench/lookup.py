"""(e) Installation tokens from identity's cache, each look-up audited, beside the time that the disk itself takes."""

import asyncio
import contextlib
import itertools
import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.disk import fdatasync_ms
from bench.load import LoadResult, open_loop
from bench.processes import cpu_s, process, wait_until_answering
from bench.steal import Steal
from tests.ports import free_port
from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.contracts.identity import INSTALLATION_TOKENS_PATH, TOKENS_INSTALLATION, InstallationToken

INSTALLATIONS, REPOSITORIES_EACH = 20, 10
CALLERS = (("dispatcher", "dispatch"), ("router", "catalog"))
RATE, DURATION_S, ROUNDS, WARM_UP_S = 1000, 30, 3, 3
MINUTE_S = 60
AUDITED = "dev.zekt.audit.token-given"


@dataclass(frozen=True)
class Identity:
    """Identity alone, in a process of its own, over a stand-in for GitHub in another."""

    pid: int
    port: int
    data_dir: Path


@contextlib.contextmanager
def identity(directory: Path) -> Iterator[Identity]:
    """Run both until the block ends, with 20 installations of 10 repositories."""
    sandbox_port, state_file = free_port(), directory / "sandbox.json"
    options = ["--port", str(sandbox_port), "--state-file", str(state_file), "--no-limits"]
    with process("zekt_sandbox", *options):
        control = f"http://127.0.0.1:{sandbox_port}/_sandbox"
        wait_until_answering(f"{control}/credentials")
        for number in range(INSTALLATIONS):
            for each in range(REPOSITORIES_EACH):
                _post(f"{control}/repositories", {"full_name": f"account{number}/repository{each}"})
            _post(f"{control}/installations", {"account": f"account{number}"})
        state = json.loads(state_file.read_text())
        public, internal, data_dir = free_port(), free_port(), directory / "data"
        env = {
            "ZEKT_DATA_DIR": str(data_dir),
            "ZEKT_PORT": str(public),
            "ZEKT_INTERNAL_PORT": str(internal),
            "ZEKT_GITHUB_API_URL": state["github"],
            "ZEKT_GITHUB_APP_ID": str(state["appId"]),
            "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": state["privateKeyFile"],
        }
        with process("zekt_identity", env=env, log=directory / "identity.log") as started:
            wait_until_answering(f"http://127.0.0.1:{public}/ready")
            yield Identity(started.pid, internal, data_dir)


class LookUps:
    """An endless supply of complete HTTP requests: each repository's token for each caller, in turn.

    A caller's service token is a new one every second, as those of the embedded issuer are.
    """

    def __init__(self, running: Identity) -> None:
        self._issuer = EmbeddedIssuer(running.data_dir)
        self._asked = itertools.cycle(_warmed_up(running, self._issuer))
        self._tokens: dict[str, str] = {}
        self._minted = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        now = int(time.monotonic())
        if now != self._minted:
            self._minted = now
            self._tokens = {service: _mint(self._issuer, service) for service, _ in CALLERS}
        service, body = next(self._asked)
        head = (
            f"POST {INSTALLATION_TOKENS_PATH} HTTP/1.1\r\nHost: identity\r\n"
            f"Authorization: Bearer {self._tokens[service]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def measure(running: Identity) -> dict[str, Any]:
    """Send 1,000 look-ups a second for half a minute, a quarter of it before a minute ends and the rest after."""
    requests = LookUps(running)
    uvloop.run(open_loop(running.port, requests, rate=RATE, duration_s=WARM_UP_S))
    time.sleep((MINUTE_S - DURATION_S / 4 - time.time()) % MINUTE_S)
    used, noted, steal = cpu_s(running.pid), asyncio.run(_noted(running)), Steal()
    result = uvloop.run(open_loop(running.port, requests, rate=RATE, duration_s=DURATION_S))
    stolen = steal.percent()
    assert set(result.statuses) == {200}, result.statuses
    spent = [now - used.get(pid, 0.0) for pid, now in cpu_s(running.pid).items()]
    audited = asyncio.run(_noted(running)) - noted
    assert audited >= INSTALLATIONS * len(CALLERS), "a new minute is noted anew"
    return _figures(result) | {
        "audit events": audited,
        "steal %": stolen,
        "cpu us/look-up": [round(each / (RATE * DURATION_S) * 1e6) for each in spent],
    }


def run() -> dict[str, Any]:
    """Measure three times, each on fresh data, with the disk's own time before and after."""
    results: dict[str, Any] = {}
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as name, identity(Path(name)) as running:
            before = fdatasync_ms(Path(name))
            results[f"round {number}"] = measure(running)
            results[f"round {number}"]["fdatasync"] = [before, fdatasync_ms(Path(name))]
    return results


def _figures(result: LoadResult) -> dict[str, Any]:
    shares = {"p50 ms": 0.5, "p99 ms": 0.99, "p99.9 ms": 0.999, "max ms": 1.0}
    return {"look-ups/s": result.rate} | {name: result.percentile_ms(share) for name, share in shares.items()}


async def _noted(running: Identity) -> int:
    async with open_backend(running.data_dir, "identity") as backend:
        count, cursor = 0, ""
        [feed] = await backend.store.feeds()
        while (page := await backend.store.read_feed(feed, cursor)).events:
            count += sum(event.type == AUDITED for event in page.events)
            cursor = page.cursor
    return count


def _warmed_up(running: Identity, issuer: EmbeddedIssuer) -> list[tuple[str, bytes]]:
    """Look each repository's token up for each caller, so that it is cached, and return who asked for what."""
    asked: list[tuple[str, bytes]] = []
    for (service, purpose), number, each in itertools.product(CALLERS, range(INSTALLATIONS), range(REPOSITORIES_EACH)):
        token, wanted = _mint(issuer, service), {"permissions": {"contents": "write"}, "purpose": purpose}
        found = _look_up(running, token, wanted | {"repository": f"account{number}/repository{each}"})
        by_id = {"installation_id": found.installation_id, "repository_ids": found.repository_ids}
        _look_up(running, token, wanted | by_id)
        asked.append((service, json.dumps(wanted | by_id).encode()))
    return asked


def _mint(issuer: EmbeddedIssuer, service: str) -> str:
    return issuer.mint(service=service, roles=[TOKENS_INSTALLATION])


def _look_up(running: Identity, token: str, asked: dict[str, Any]) -> InstallationToken:
    answer = _post(f"http://127.0.0.1:{running.port}{INSTALLATION_TOKENS_PATH}", asked, token)
    return msgspec.json.decode(answer, type=InstallationToken)


def _post(url: str, body: dict[str, Any], token: str = "") -> bytes:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        content: bytes = answer.read()
        return content


if __name__ == "__main__":
    for label, figures in run().items():
        print(label, figures)
