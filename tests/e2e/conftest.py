from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.azure_account import AzureAccount, running_account
from tests.e2e.catalogs import WORKFLOW, onboard
from tests.e2e.peopled import PEOPLE, Peopled, running
from tests.e2e.suite import Engine, Suite, Topology, running_suite
from tests.ports import free_port
from zekt_cli.hosting.suite import build
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.service import Service
from zekt_common.kit.settings import HostSettings
from zekt_sandbox import GitHubSandbox, Limits

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Beside other tests run one suite at a time, and one that is killed: more of them would starve each other."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group("kills" if "kill" in item.path.name else "suites"))


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
def engine(request: pytest.FixtureRequest) -> Engine:
    """SQLite, unless the test asks for another."""
    return cast("Engine", getattr(request, "param", "sqlite"))


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAccount]:
    """The stand-ins for Azure's services; whoever starts a suite on them clears them first."""
    with running_account(tmp_path_factory.mktemp("azure")) as account:
        yield account


@pytest.fixture
async def engine_settings(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """What leads a suite to its engine, in which nothing is stored yet."""
    if engine == "sqlite":
        return {}
    account: AzureAccount = request.getfixturevalue("azure")
    await account.clear(tmp_path)
    return account.settings


@pytest.fixture
async def suite(
    topology: Topology, engine_settings: dict[str, str], tmp_path: Path, sandbox: GitHubSandbox
) -> AsyncIterator[Suite]:
    async with running_suite(topology, tmp_path, sandbox, **engine_settings) as started:
        yield started


@pytest.fixture
async def peopled(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Peopled]:
    """A suite with people who each have two repositories and an installation."""
    for number, (login, account_id) in enumerate(PEOPLE.items(), start=1):
        sandbox.create_user(login, id=account_id)
        sandbox.create_repository(f"{login}/tools", id=600 + number)
        sandbox.create_repository(f"{login}/site", id=700 + number)
        sandbox.create_repository(f"{login}/more")
        for repository in (f"{login}/tools", f"{login}/site"):
            sandbox.create_workflow(repository, WORKFLOW)
        sandbox.create_installation(login, id=500 + number)
    async with running(sandbox, tmp_path) as started:
        yield started


@pytest.fixture
def services(sandbox: GitHubSandbox, tmp_path: Path) -> tuple[list[Service], HostSettings]:
    """The four services for this process."""
    key_file = tmp_path / "app.pem"
    key_file.write_text(sandbox.private_key_pem)
    internal_port = free_port()
    env = {
        "ZEKT_DATA_DIR": str(tmp_path / "data"),
        "ZEKT_IDENTITY_URL": f"http://127.0.0.1:{internal_port}",
        "ZEKT_INTERNAL_PORT": str(internal_port),
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_OIDC_ISSUER": sandbox.issuer,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": sandbox.webhook_secret,
    }
    settings = HostSettings(port=0, internal_port=internal_port, data_dir=tmp_path / "data")
    return list(build(env)), settings


@pytest.fixture
async def hosted(services: tuple[list[Service], HostSettings], sandbox: GitHubSandbox) -> AsyncIterator[Hosted]:
    """Those services, ready."""
    async with serving(*services) as running:
        await running.until_ready()
        sandbox.webhook_url = f"{running.url}/webhooks/github"
        yield running
