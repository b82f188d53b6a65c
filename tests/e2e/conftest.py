from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.catalogs import onboard
from tests.e2e.suite import Suite, Topology, running_suite
from zekt_sandbox import GitHubSandbox, Limits


@pytest.fixture
async def sandbox() -> AsyncIterator[GitHubSandbox]:
    """A stand-in with the provider and consumers, and without GitHub's rate limits, which would slow these tests."""
    async with GitHubSandbox.start(limits=Limits(enabled=False)) as started:
        onboard(started)
        yield started


@pytest.fixture(params=["one process", "four processes"])
def topology(request: pytest.FixtureRequest) -> Topology:
    return cast("Topology", request.param)


@pytest.fixture
async def suite(topology: Topology, tmp_path: Path, sandbox: GitHubSandbox) -> AsyncIterator[Suite]:
    async with running_suite(topology, tmp_path, sandbox) as started:
        yield started
