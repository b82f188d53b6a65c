"""From the commit before to this one, service by service, under load: nothing is refused and nothing is lost."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.catalogs import catalog, onboard
from tests.e2e.counting import all_received, assert_repeats_are_reported_as_ambiguous, every_subscription
from tests.e2e.sending import prepared, started_runs
from tests.upgrade.previous import FROM, MEMBERS, ROOT, NoHistory, import_path, sources_of_previous
from tests.upgrade.rolling import RollingSuite, rolling_suite
from zekt_sandbox import GitHubSandbox, Limits
from zekt_sandbox.github.model import HookDelivery

MOST_WEBHOOKS = 3000
PAUSE_S = 0.02
ORDER = ("identity", "router", "dispatcher", "ingress")


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    try:
        return sources_of_previous(tmp_path)
    except NoHistory as error:
        pytest.skip(f"the upgrade from {FROM} did NOT run: {error}")


class Load:
    """Webhooks one after the other; each is sent once, as GitHub would."""

    def __init__(self, suite: RollingSuite, deliveries: Sequence[HookDelivery]) -> None:
        self._suite, self._deliveries = suite, deliveries
        self.answers: list[int | str] = []
        self._answered = asyncio.Condition()

    async def reach(self, count: int) -> None:
        """Wait until so many were answered."""
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.answers) >= count)

    async def run(self, stop: asyncio.Event) -> None:
        for delivery in self._deliveries:
            if stop.is_set():
                return
            self.answers.append(await self._send(delivery))
            async with self._answered:
                self._answered.notify_all()
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("the upgrade took longer than there were webhooks")

    async def _send(self, delivery: HookDelivery) -> int | str:
        url, http = self._suite.webhook_url, self._suite.http
        try:
            async with http.post(url, data=delivery.body, headers=delivery.headers) as answer:
                return answer.status
        except aiohttp.ClientError as error:
            return type(error).__name__


async def upgrade(suite: RollingSuite, loaded: Load) -> None:
    """Replace one service after the other, each under some load."""
    for name in ORDER:
        answered = len(loaded.answers)
        await suite.replace(name, ROOT)
        await loaded.reach(answered + 20)


@pytest.mark.parametrize("member", MEMBERS)
def test_what_runs_before_the_upgrade_is_the_earlier_code(previous: Path, member: str) -> None:
    package = f"zekt_{member.split('/')[1]}"
    show = [sys.executable, "-c", f"import {package}; print({package}.__file__)"]
    shown = subprocess.run(
        show, env=os.environ | {"PYTHONPATH": import_path(previous)}, capture_output=True, text=True, check=True
    )
    assert Path(shown.stdout.strip()).is_relative_to(previous / member)


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_an_upgrade_under_load_refuses_and_loses_nothing(tmp_path: Path, previous: Path) -> None:
    async with GitHubSandbox.start(limits=Limits(enabled=False)) as sandbox:
        onboard(sandbox)
        async with rolling_suite(tmp_path, sandbox, previous) as suite:
            await suite.apply(catalog())
            runs = await started_runs(sandbox, MOST_WEBHOOKS)
            loaded, stop = Load(suite, prepared(sandbox, runs)), asyncio.Event()
            sending = asyncio.create_task(loaded.run(stop))
            await upgrade(suite, loaded)
            stop.set()
            await sending
            assert set(loaded.answers) == {202}
            expected = every_subscription(runs[: len(loaded.answers)])
            received = await all_received(sandbox, expected)
            assert set(received) == expected
            await assert_repeats_are_reported_as_ambiguous(suite, sandbox)
