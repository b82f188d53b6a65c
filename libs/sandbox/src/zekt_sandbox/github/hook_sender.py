"""Sends signed webhooks and keeps the delivery log that `GET /app/hook/deliveries` shows."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import aiohttp

from zekt_sandbox.github.errors import SandboxError
from zekt_sandbox.github.model import HookDelivery, Repository, WorkflowRun
from zekt_sandbox.github.signing import Hook
from zekt_sandbox.github.state import GitHubState
from zekt_sandbox.github.webhooks import workflow_run_payload

TIMEOUT_S = 10
APP_TARGET = "integration"
TARGETS = {"app": APP_TARGET, "repository": "repository"}
LOG_LENGTH = 5_000  # GitHub keeps three days; this keeps memory flat
_KEPT_RESPONSE = 2_000


class HookSender:
    """One HTTP client for all hooks; what is sent is logged first."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state
        self._session: aiohttp.ClientSession | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self.muted = False

    async def open(self) -> None:
        """Open the HTTP client."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        """Drop what is still being sent and close the client."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def later(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do something after the current request has been answered, as GitHub does."""
        task = asyncio.get_running_loop().create_task(work())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def settle(self) -> None:
        """Wait until nothing is under way in the background."""
        while self._background:
            await asyncio.gather(*self._background)

    def app_hook(self) -> Hook | None:
        """The App's hook as it is set now; None when the App has no webhook URL."""
        app = self._state.app
        if not app.webhook_url:
            return None
        return Hook(self._state.app_hook_id, app.webhook_url, app.webhook_secret, APP_TARGET, app.id)

    def hooks_for(self, repository: Repository, event: str) -> list[tuple[Hook, int | None]]:
        """The hooks that hear of an event, the App's first, each with the installation it speaks for."""
        if self.muted:
            return []
        hook, installation = self.app_hook(), self._state.installation_of(repository)
        found: list[tuple[Hook, int | None]] = []
        if hook is not None and installation is not None and installation.suspended_at is None:
            found.append((hook, installation.id))
        placed = self._state.repository_hooks.get(repository.id, [])
        return found + [(hook, None) for hook in placed if hook.hears(event)]

    def prepare(self, run: WorkflowRun, action: str, through: Sequence[str] | None = None) -> list[HookDelivery]:
        """The deliveries of one event, one for each hook, all with the same guid; nothing is sent or logged."""
        guid = str(uuid.uuid4())
        wanted = TARGETS.values() if through is None else {TARGETS.get(name) for name in through}
        chosen = [pair for pair in self.hooks_for(run.repository, "workflow_run") if pair[0].target_type in wanted]
        return [self._of_run(run, action, guid, hook, installation_id) for hook, installation_id in chosen]

    def prepare_event(self, event: str, payload: dict[str, Any], hook: Hook) -> HookDelivery:
        """A delivery of any event through `hook`."""
        body = json.dumps(payload, separators=(",", ":")).encode()
        return HookDelivery(
            id=self._state.ids.next("delivery"),
            guid=str(uuid.uuid4()),
            hook=hook,
            event=event,
            action=str(payload.get("action", "")),
            body=hook.encode(body),
        )

    def _of_run(
        self, run: WorkflowRun, action: str, guid: str, hook: Hook, installation_id: int | None
    ) -> HookDelivery:
        return HookDelivery(
            id=self._state.ids.next("delivery"),
            guid=guid,
            hook=hook,
            event="workflow_run",
            action=action,
            body=hook.encode(workflow_run_payload(run, action=action, installation_id=installation_id)),
            installation_id=installation_id,
            repository_id=run.repository.id,
        )

    async def send(self, delivery: HookDelivery) -> HookDelivery:
        """Log and send one delivery once; a failure is in the log, as at GitHub, and nothing is tried again."""
        if self._session is None:
            raise SandboxError("the stand-in is not running")
        self._log(delivery)
        started = time.perf_counter()
        try:
            url, headers = delivery.hook.url, delivery.headers
            async with self._session.post(url, data=delivery.body, headers=headers) as response:
                delivery.response_body = (await response.text(errors="replace"))[:_KEPT_RESPONSE]
                delivery.status_code, delivery.response_headers = response.status, dict(response.headers)
                delivery.status = _status(response.status)
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", HTTPStatus.GATEWAY_TIMEOUT
        except aiohttp.ClientError:
            delivery.status, delivery.status_code = "failed to connect to host", HTTPStatus.BAD_GATEWAY
        delivery.duration_s = time.perf_counter() - started
        return delivery

    async def send_all(self, deliveries: Sequence[HookDelivery]) -> list[HookDelivery]:
        """Send deliveries one after the other, in their order."""
        return [await self.send(delivery) for delivery in deliveries]

    async def redeliver(self, original: HookDelivery) -> HookDelivery:
        """Send a delivery again under a new id, with the same guid and body, to where its hook points now."""
        hook = self.app_hook() if original.hook.target_type == APP_TARGET else original.hook
        number = self._state.ids.next("delivery")
        again = replace(original, id=number, hook=hook or original.hook, redelivery=True, status="pending")
        return await self.send(again)

    def _log(self, delivery: HookDelivery) -> None:
        delivery.delivered_at = self._state.clock.now()
        deliveries = self._state.deliveries
        deliveries[delivery.id] = delivery
        if len(deliveries) > LOG_LENGTH:
            del deliveries[next(iter(deliveries))]


def _status(code: int) -> str:
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = ""
    return (
        "OK" if code in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES) else f"Invalid HTTP Response: {code} {phrase}"
    )
