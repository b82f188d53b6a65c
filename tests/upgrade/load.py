"""Messages and webhooks of run after run, several at a time; each is sent once, as GitHub and a workflow would."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import aiohttp

from tests.e2e.catalogs import PROVIDER, WORKFLOW
from tests.e2e.messages import message_of
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

AT_A_TIME: Final = 8
PAUSE_S: Final = 0.1

Answered = int | str


class Load:
    """What was sent, and how it was answered."""

    def __init__(self, suite: Suite, sandbox: GitHubSandbox) -> None:
        self.runs: list[int] = []
        self.messages: Counter[Answered] = Counter()
        self.webhooks: Counter[Answered] = Counter()
        self._suite, self._sandbox = suite, sandbox
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send until the block ends, and end what was begun."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_A_TIME):
                workers.create_task(self._work(stop))
            try:
                yield
            finally:
                stop.set()

    async def further(self, runs: int) -> None:
        """Wait until so many more runs were completed."""
        wanted = len(self.runs) + runs
        await self._until(lambda: len(self.runs) >= wanted)

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            run = await self._sandbox.start_run(PROVIDER, WORKFLOW, send=False)
            self.messages[await self._message(run.id)] += 1
            self.webhooks[await self._webhook(run.id)] += 1
            self.runs.append(run.id)
            await self._tell()
            await asyncio.sleep(PAUSE_S)

    @asynccontextmanager
    async def half_sent(self) -> AsyncIterator[None]:
        """Send half of a webhook before the block, the rest after it, and wait for its answer."""
        run = await self._sandbox.start_run(PROVIDER, WORKFLOW, send=False)
        self.messages[await self._message(run.id)] += 1
        (delivery,) = self._sandbox.complete_run_unsent(run.id)
        middle, half_way, go_on = len(delivery.body) // 2, asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield delivery.body[:middle]
            half_way.set()
            await go_on.wait()
            yield delivery.body[middle:]

        headers = {**delivery.headers, "Content-Length": str(len(delivery.body))}
        post = self._suite.http.post(self._suite.webhook_url, data=body(), headers=headers)
        answer = asyncio.create_task(self._answer(post))
        try:
            await half_way.wait()
            yield
        finally:
            go_on.set()
        self.webhooks[await answer] += 1
        self.runs.append(run.id)

    async def _message(self, run_id: int) -> Answered:
        headers = {"Authorization": f"Bearer {self._sandbox.mint_oidc_token(run_id)}"}
        url = f"{self._suite.url('ingress')}/api/events/receive"
        return await self._answer(
            self._suite.http.post(url, json=message_of(run_id, {"run": str(run_id)}), headers=headers)
        )

    async def _webhook(self, run_id: int) -> Answered:
        (delivery,) = self._sandbox.complete_run_unsent(run_id)
        request = self._suite.http.post(self._suite.webhook_url, data=delivery.body, headers=delivery.headers)
        return await self._answer(request)

    async def _answer(self, request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> Answered:
        try:
            async with request as answer:
                return answer.status
        except aiohttp.ClientError as error:
            return type(error).__name__

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(reached)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
