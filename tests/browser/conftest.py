from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.identity.tests.conftest import Running, identity_at
from tests.browser.certificate import Certificate, certify
from tests.browser.chromium import chromium_or_skip, running
from tests.browser.devtools import DevTools
from tests.browser.front import HOSTS, OURS, Front, standing
from tests.ports import free_port
from zekt_sandbox import GitHubSandbox


@pytest.fixture(scope="session")
def chromium() -> Path:
    return chromium_or_skip()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify(tmp_path_factory.mktemp("certificate"), HOSTS)


@pytest.fixture
async def sandbox() -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start() as started:
        started.create_user("octocat", id=4_242)
        started.create_user("hubot", id=4_243)
        yield started


@pytest.fixture
def port() -> int:
    """Where our site is; it has to be known before anything starts, since GitHub returns people there."""
    return free_port()


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path, port: int) -> AsyncIterator[Running]:
    public_url = f"https://{OURS}:{port}"
    async with identity_at(sandbox, tmp_path, public_url=public_url) as started:
        sandbox.callback_urls = [f"{public_url}/auth/callback"]
        await started.hosted.until_ready()
        yield started


@pytest.fixture
async def front(identity: Running, port: int, certificate: Certificate) -> AsyncIterator[Front]:
    async with standing(identity.hosted.url, port, certificate) as listening:
        yield listening


@pytest.fixture
async def tools(chromium: Path, certificate: Certificate, tmp_path: Path) -> AsyncIterator[DevTools]:
    """A browser to which our hosts' names lead to this machine, and no other name leads anywhere."""
    options = (
        "--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={certificate.fingerprint}",
    )
    async with running(chromium, tmp_path / "profile", *options) as process, DevTools.of(process) as listening:
        yield listening
