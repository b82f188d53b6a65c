from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.dispatcher.tests.harness import TARGET, Running, running
from zekt_dispatcher.delivery_events import Order, Source
from zekt_sandbox import GitHubSandbox, Limits
from zekt_sandbox.github.state import generate_private_key


@pytest.fixture
def noon() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def order() -> Order:
    return Order(
        delivery_id="0f" * 16,
        subscription_id="sub-1",
        repository_id=100,
        owner_id=10,
        run_id=4711,
        run_attempt=1,
        message_id="m" * 32,
        event_type="deployment",
        source=Source(
            repository="acme/provider",
            service_owner="acme",
            service_slug="ci-finished",
            service_alias="Acme CI",
            workflow="CI",
            conclusion="success",
        ),
        target_repository_id=200,
        target_repository="beta/consumer",
        installation_id=55,
        size_bytes=9,
        payload=msgspec.Raw(b'{"a":"b"}'),
    )


@pytest.fixture(scope="session")
def app_key() -> str:
    """Return one App key for all tests: making a new one takes as long as a test."""
    return generate_private_key()


@pytest.fixture
async def sandbox(app_key: str) -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start(limits=Limits(enabled=False), private_key_pem=app_key) as started:
        started.create_repository(TARGET, id=200)
        started.create_repository("beta/other", id=201)
        started.create_repository("gamma/consumer", id=300)
        for repository in (TARGET, "beta/other"):
            started.create_workflow(repository, ".github/workflows/on-zekt.yml")
        started.create_installation("beta", id=55)
        started.create_installation("gamma", id=66)
        yield started


@pytest.fixture
async def dispatcher(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(sandbox, tmp_path) as started:
        yield started
