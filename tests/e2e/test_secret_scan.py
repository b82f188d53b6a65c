"""After an eventful run no secret of it is anywhere: in what was logged, traced, answered, sent and stored."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.e2e.acting_person import OWN
from tests.e2e.catalogs import PROVIDER, WORKFLOW
from tests.e2e.eventful_run import LEAVER, LEAVER_ID, PERSON, PERSON_ID, SMUGGLED, EventfulRun
from tests.e2e.run_secrets import given_secrets, kept_secrets, own_files
from tests.e2e.run_stores import OnAzure, OnOneMachine, RunStore, opened_payloads
from tests.e2e.secret_scan import Leak, SecretScan
from tests.e2e.service_issuers import ServiceIssuer, embedded, entra
from tests.e2e.suite import Engine, Setup, Topology, running_suite
from tests.e2e.telemetry_collector import TelemetryCollector, collecting
from zekt_common.auth.authorisation_log import ActionOrdered
from zekt_common.auth.webhook_secrets import repository_secret
from zekt_common.envelope import NewEvent
from zekt_common.ports import Put
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.entra import serving as serving_entra

pytestmark = pytest.mark.slow

PLANTED: Final = {
    "client secret",
    "webhook secret",
    "webhook master key",
    "a private key",
    "smuggled secret 1",
    "placed webhook secret",
}
MANY_RUNS: Final[dict[type[RunStore], int]] = {OnOneMachine: 350, OnAzure: 20}
"""Enough for a thousand lines of log; on Azure each takes far more of them, and longer."""
VERBOSE: Final = Path(__file__).parent / "verbose"


@dataclass
class Remains:
    """What is left of a run that has ended."""

    directory: Path
    sandbox: GitHubSandbox
    collector: TelemetryCollector
    run: EventfulRun
    store: RunStore
    scan: SecretScan

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    def logs(self) -> list[Path]:
        return sorted(self.directory.glob("*.log"))

    async def leaks(self) -> list[Leak]:
        """Scan everything but the files that are the secrets' own; payloads also as they are read."""
        stored = [path for path in self.data_dir.rglob("*") if path.is_file() and path not in own_files(self.data_dir)]
        sent = [(f"a dispatch to {one.repository}", one.body) for one in self.sandbox.dispatches()]
        kept = [*self.store.remote(), *await opened_payloads(self.store)]
        elsewhere = [*self.collector.exports, *self.run.answers, *sent, *kept]
        return _in_files(self.scan, (*self.logs(), *stored)) + _in_texts(self.scan, elsewhere)

    def personal_leaks(self) -> list[Leak]:
        """Scan logs and traces for what is a payload's or a person's own, and everything stored for the latter."""
        personal = {name: value.encode() for name, value in self.run.personal().items()}
        watched = SecretScan(personal | {"a payload": self.run.marker.encode()})
        told = _in_files(watched, self.logs()) + _in_texts(watched, self.collector.exports)
        stored = SecretScan(personal)
        return told + _in_files(stored, self.data_dir.glob("*.db*")) + _in_texts(stored, self.store.remote())


def _in_files(scan: SecretScan, paths: Iterable[Path]) -> list[Leak]:
    return [leak for path in paths for leak in scan.leaks_in_file(path)]


def _in_texts(scan: SecretScan, texts: Iterable[tuple[str, bytes]]) -> list[Leak]:
    return [leak for place, content in texts for leak in scan.leaks(place, content)]


@pytest.fixture
async def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServiceIssuer]:
    if request.param == "embedded issuer":
        yield embedded()
        return
    async with serving_entra() as tenant:
        yield entra(tenant, tmp_path)


@pytest.fixture
def store(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> RunStore:
    return OnOneMachine(tmp_path / "data") if engine == "sqlite" else OnAzure(request.getfixturevalue("azure"))


@pytest.fixture
async def remains(  # noqa: PLR0913, PLR0917 - what a run is made of
    topology: Topology,
    issuer: ServiceIssuer,
    store: RunStore,
    engine_settings: dict[str, str],
    tmp_path: Path,
    sandbox: GitHubSandbox,
) -> AsyncIterator[Remains]:
    master_key = secrets.token_bytes(32)
    sandbox.create_user(PERSON, id=PERSON_ID)
    sandbox.create_user(LEAVER, id=LEAVER_ID)
    own = sandbox.create_repository(OWN)
    sandbox.create_workflow(OWN, WORKFLOW)
    sandbox.create_installation(PERSON)
    derived, placed = (repository_secret(master_key, one.id) for one in (sandbox.update_repository(PROVIDER), own))
    async with collecting() as collector, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        settings = {
            **engine_settings,
            **issuer.settings,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(VERBOSE), os.environ.get("PYTHONPATH")))),
            "ZEKT_LOG_FORMAT": "json",
            "ZEKT_WEBHOOK_MASTER_KEYS": f"1:{master_key.hex()}",
            "ZEKT_GITHUB_OAUTH_CLIENT_ID": sandbox.client_id,
            "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": sandbox.client_secret,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        async with running_suite(topology, tmp_path, sandbox, Setup(issuer.of_service), **settings) as suite:
            sandbox.create_repository_hook(PROVIDER, url=suite.webhook_url, secret=derived)
            run = EventfulRun(suite, sandbox, http, issuer.mint(suite.data_dir), MANY_RUNS[type(store)])
            await run.happen()
            assert run.placed_secrets == [placed]
            while_running = {path.name: path.read_bytes() for path in suite.data_dir.glob("*.db*")}
            assert set(await asyncio.to_thread(suite.stop)) == {0}  # the collector answers meanwhile
        handed_out = {name: value.encode() for name, value in run.handed_out.items()}
        smuggled = {f"smuggled secret {number}": value.encode() for number, value in enumerate(SMUGGLED)}
        known = given_secrets(sandbox) | await kept_secrets(suite.data_dir, store) | handed_out | smuggled
        known |= {"webhook master key": master_key, "derived webhook secret": derived.encode()}
        known |= {"placed webhook secret": placed.encode(), **issuer.secrets()}
        run.answers += while_running.items()
        yield Remains(tmp_path, sandbox, collector, run, store, SecretScan(known))


@pytest.mark.parametrize(
    ("topology", "engine", "issuer"),
    [
        ("one process", "sqlite", "embedded issuer"),
        ("four processes", "sqlite", "embedded issuer"),
        ("four processes", "sqlite", "Entra ID"),
        ("one process", "azure", "embedded issuer"),
    ],
    indirect=True,
)
async def test_no_secret_of_a_run_is_anywhere_and_one_that_is_planted_is_found(remains: Remains) -> None:
    assert await remains.leaks() == []
    assert remains.personal_leaks() == []
    await assert_much_was_scanned(remains)
    await plant(remains)
    found = {(leak.secret, leak.form, leak.place) for leak in await remains.leaks()}
    assert {secret for secret, _, _ in found} == PLANTED
    assert found >= {
        ("client secret", "as it is", f"the bytes of {remains.logs()[0].name}"),
        ("webhook secret", "in Base64", "/v1/traces"),
        ("webhook master key", "in hex", remains.store.place_of("views", "router")),
        ("a private key", "by its shape", "an answer"),
        ("smuggled secret 1", "as it is", f"a payload of account {PERSON_ID}"),
        ("placed webhook secret", "in Base64", remains.store.place_of("events", "dispatcher")),
    }


async def assert_much_was_scanned(remains: Remains) -> None:
    """The scan means something only if there were all kinds of secrets, and much was written."""
    assert len(remains.scan.secrets) > 70
    opened = [content for _, content in await opened_payloads(remains.store)]
    assert sum(b'"workflow_run":{' in content for content in opened) >= remains.run.many_runs
    assert sum(remains.run.marker.encode() in content for content in opened) == 1  # the large message
    assert sum(path.read_bytes().count(b"\n") for path in remains.logs()) > 1_000
    assert {"POST /webhooks/github", "POST /internal/tokens/user", "dispatch"} <= remains.collector.spans()
    assert {path.stat().st_mode & 0o777 for path in own_files(remains.data_dir)} == {0o600}


async def plant(remains: Remains) -> None:
    """Write secrets where none may be, each in another form."""
    known = remains.scan.secrets
    with remains.logs()[0].open("ab") as log:
        log.write(b'{"event": "planted", "reason": "' + known["client secret"] + b'"}\n')
    remains.collector.exports.append(("/v1/traces", b"attribute " + base64.b64encode(b"?" + known["webhook secret"])))
    async with remains.store.open("router") as backend:
        body = b'{"planted": "' + known["webhook master key"].hex().encode() + b'"}'
        await backend.views.write([Put(partition="planted", id="1", body=body)])
    async with remains.store.open("dispatcher") as backend:
        smuggled = b'{"planted": "' + known["smuggled secret 1"] + b'"}'
        await backend.payloads.put(PERSON_ID, smuggled)
        await backend.store.append("planted/1", [_event(known["placed webhook secret"])], expected_version=0)
    remains.run.answers.append(("an answer", b"-----BEGIN RSA PRIVATE KEY-----"))


def _event(secret: bytes) -> NewEvent:
    """Return an event that quotes the secret where a route should be."""
    route = base64.b64encode(b"POST " + secret).decode()
    ordered = ActionOrdered(actor="planted", origin="planted", route=route)
    return NewEvent(body=ordered, source="planted", subject="planted", correlationid="planted", causationid="planted")
