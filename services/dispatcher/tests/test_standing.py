"""What identity says of installations stops deliveries at once, says why, and follows repositories that are renamed."""

import asyncio
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.dispatcher.tests.harness import PATIENCE_S, TARGET, Running, running
from zekt_common.adapters.embedded import open_backend
from zekt_common.contracts.identity import InstallationChanged, RepositoryChanged
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_dispatcher.delivery_events import Order
from zekt_dispatcher.standing import Standing
from zekt_sandbox import GitHubSandbox

ACTIVE = InstallationChanged(installation_id=55, account_id=7, login="beta", status="active")
SUSPENDED = InstallationChanged(installation_id=55, account_id=7, login="beta", status="suspended")
REMOVED = InstallationChanged(installation_id=55, account_id=7, login="beta", status="removed")


def repository(**changes: Any) -> RepositoryChanged:
    honest: dict[str, Any] = {"repository_id": 200, "repository": TARGET, "account_id": 7, "installation_id": 55}
    return RepositoryChanged(**(honest | {"archived": False, "status": "covered"} | changes))


def told(body: Event, version: int) -> Envelope:
    event = NewEvent(body=body, source="zekt/identity", subject="x", correlationid="x", causationid="x")
    return seal(event, stream="installation/55", version=version, commitid="c" * 16, time=datetime.now(UTC))


async def take(standing: Standing, body: Event, version: int = 1) -> None:
    handler = standing.handlers()[type(body)]
    await handler(body, told(body, version))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ACTIVE, None),
        (SUSPENDED, "suspended"),
        (REMOVED, "uninstalled"),
        (repository(), None),
        (repository(status="withdrawn"), "does not include the repository any more"),
        (repository(installation_id=66), "changed hands"),
    ],
)
async def test_what_is_not_active_is_refused_with_the_reason(
    tmp_path: Path, order: Order, state: Event, reason: str | None
) -> None:
    async with open_backend(tmp_path, "dispatcher") as backend:
        standing = Standing(backend.views)
        assert await standing.refusal(order) is None
        await take(standing, state)
        refusal = await standing.refusal(order)
        assert (reason is None) == (refusal is None)
        assert (reason or "") in (refusal or "")


async def test_the_newest_state_holds_in_every_order(tmp_path: Path, order: Order) -> None:
    async with open_backend(tmp_path, "dispatcher") as backend:
        for number, sequence in enumerate(itertools.permutations([(ACTIVE, 1), (SUSPENDED, 2), (ACTIVE, 3)])):
            standing = Standing(backend.views)
            for body, version in [*sequence, *sequence]:
                await take(standing, body, 10 * number + version)
            assert await standing.refusal(order) is None


async def test_a_suspended_installation_gets_nothing_and_the_delivery_says_why(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    sandbox.update_installation(55, suspended=True)
    async with running(sandbox, tmp_path) as dispatcher:
        await until_heard(dispatcher, "installations", "55")
        delivery = await dispatcher.ask()
        assert await dispatcher.until(delivery, "dead-lettered") == ["requested", "dead-lettered"]
        ended = json.loads(bytes((await dispatcher.events(delivery))[-1].data))
    assert (ended["category"], ended["reason"]) == ("auth", "the account's owner has suspended the App's installation")
    assert sandbox.dispatches() == []


async def until_heard(dispatcher: Running, partition: str, id_: str) -> None:
    """Wait until identity has looked, told, and the dispatcher has heard."""
    async with asyncio.timeout(PATIENCE_S):
        while await dispatcher.backend.views.get(partition, id_) is None:  # noqa: ASYNC110 - views announce nothing
            await asyncio.sleep(0.02)


async def test_a_renamed_repository_is_dispatched_to_under_its_present_name(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    await sandbox.rename_repository(TARGET, "customer")
    async with running(sandbox, tmp_path) as dispatcher:
        await until_heard(dispatcher, "installed-repositories", "200")
        delivery = await dispatcher.ask(target_repository=TARGET)
        await dispatcher.until(delivery, "dispatched")
    [dispatch] = sandbox.dispatches()
    assert dispatch.repository == "beta/customer"
