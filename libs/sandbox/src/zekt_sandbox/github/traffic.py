"""Controls over what happens: runs and their webhooks, OIDC tokens, dispatches received, faults and limits."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import jwt

from zekt_sandbox.github.auth import issue_token
from zekt_sandbox.github.core import Core
from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.faults import Fault
from zekt_sandbox.github.limits import Limits
from zekt_sandbox.github.model import Dispatch, HookDelivery, Installation, InstallationToken, WorkflowRun
from zekt_sandbox.github.oidc import AUDIENCE, LIFE_S
from zekt_sandbox.github.runs import RunOptions, SendOptions
from zekt_sandbox.token_keys import Forgery

_JWT_LIFE_S = 540
_DRIFT_S = 60


class TokenOptions(TypedDict, total=False):
    """How an OIDC token departs from an honest one: claims replaced, left out, or the token forged."""

    audience: str
    expires_in_s: int
    claims: dict[str, Any]
    without: Sequence[str]
    forgery: Forgery


class FaultOptions(TypedDict, total=False):
    """Which requests a fault strikes and how; `count` None stays on."""

    method: str
    path: str
    count: int | None
    status: int
    retry_after_s: int
    delay_s: float


class TrafficControls:
    """Makes things happen and shows what was received."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def start_run(
        self, repository: str, workflow: str, *, send: bool = True, **options: Unpack[RunOptions]
    ) -> WorkflowRun:
        """Start a run, and tell the hooks `requested` and `in_progress` if `send`.

        Raises:
            UnknownNameError: there is no such repository or workflow.
        """
        run = self._core.runs.start(self._core.state.repository(repository), workflow, **options)
        if send:
            await self._core.runs.announce(run)
        return run

    async def complete_run(
        self, run_id: int, *, conclusion: str = "success", **options: Unpack[SendOptions]
    ) -> list[HookDelivery]:
        """End a run, tell the hooks `completed`, and return what became of each delivery.

        Raises:
            UnknownNameError: there is no such run.
        """
        return await self._core.runs.tell(self._core.runs.complete(run_id, conclusion), "completed", **options)

    def complete_run_unsent(
        self, run_id: int, *, conclusion: str = "success", through: Sequence[str] | None = None
    ) -> list[HookDelivery]:
        """End a run and return its signed deliveries for the caller to send, or to lose.

        Raises:
            UnknownNameError: there is no such run.
        """
        return self._core.sender.prepare(self._core.runs.complete(run_id, conclusion), "completed", through)

    async def send_event(self, event: str, payload: dict[str, Any]) -> HookDelivery:
        """Send an event of any kind through the App's hook, signed as the others.

        Raises:
            InvalidControlError: the App has no webhook URL.
        """
        hook = self._core.sender.app_hook()
        if hook is None:
            raise InvalidControlError("the App has no webhook URL")
        return await self._core.sender.send(self._core.sender.prepare_event(event, payload, hook))

    def mute_webhooks(self, *, muted: bool = True) -> None:
        """Send no webhooks, and log none, until called with `muted=False`; what is sent on order is sent still."""
        self._core.sender.muted = muted

    async def rerun(self, run_id: int, *, send: bool = True) -> WorkflowRun:
        """Start another attempt of a run under the same run id, and tell the hooks as `start_run` does.

        Raises:
            UnknownNameError: there is no such run.
        """
        attempt = self._core.state.next_attempt(run_id)
        if send:
            await self._core.runs.announce(attempt)
        return attempt

    async def run_workflow(
        self, repository: str, workflow: str, *, conclusion: str = "success", **options: Unpack[RunOptions]
    ) -> tuple[WorkflowRun, list[HookDelivery]]:
        """Start and end a run at once, sending only `completed`.

        Raises:
            UnknownNameError: there is no such repository or workflow.
        """
        run = await self.start_run(repository, workflow, send=False, **options)
        return run, await self.complete_run(run.id, conclusion=conclusion)

    def mint_oidc_token(self, run_id: int, **options: Unpack[TokenOptions]) -> str:
        """An OIDC token of a job in the run's latest attempt, or a forged one.

        Raises:
            UnknownNameError: there is no such run.
        """
        run = self._core.state.run(run_id)
        audience, expires_in_s = options.get("audience", AUDIENCE), options.get("expires_in_s", LIFE_S)
        claims = self._core.oidc.claims(run, audience=audience, expires_in_s=expires_in_s)
        claims |= options.get("claims", {})
        kept = {name: value for name, value in claims.items() if name not in options.get("without", ())}
        return self._core.oidc.sign(kept, options.get("forgery"))

    def rotate_oidc_key(self, *, retire_old: bool = False) -> str:
        """Sign with a new key from now on; the old one stays published unless retired."""
        return self._core.oidc.rotate(retire_old=retire_old)

    def mint_workflow_token(self, repository: str) -> InstallationToken:
        """A `GITHUB_TOKEN` of a workflow in one repository.

        Raises:
            UnknownNameError: there is no such repository.
        """
        found = self._core.state.repository(repository)
        actions = Installation(0, found.owner, {"actions": "read", "contents": "write", "metadata": "read"})
        return issue_token(self._core.state, actions, repository_ids=frozenset({found.id}))

    def app_jwt(self, **claims: Any) -> str:
        """A JWT of the App as a client would make it, with any claim replaced."""
        app, now = self._core.state.app, int(self._core.state.clock.machine_now())
        honest = {"iss": str(app.id), "iat": now - _DRIFT_S, "exp": now + _JWT_LIFE_S}
        return jwt.encode({**honest, **claims}, app.private_key_pem, algorithm="RS256")

    def revoke_tokens(self, *, installation_id: int | None = None, token: str | None = None) -> int:
        """Revoke one token, those of an installation, or all; returns how many worked until now."""
        live = [
            found
            for found in self._core.state.live_tokens()
            if installation_id in (None, found.installation.id) and token in (None, found.value)
        ]
        for found in live:
            found.revoked = True
        return len(live)

    def dispatches(self, repository: str | None = None, *, since: int = 0) -> list[Dispatch]:
        """Every raw POST received from index `since` on, refused ones too."""
        return self._core.log.select(repository, since)

    async def wait_for_dispatches(self, count: int, repository: str | None = None, *, timeout_s: float = 10) -> bool:
        """Wait until `count` dispatches were accepted in all; False when time ran out first."""
        return await self._core.log.wait(count, repository, timeout_s)

    def add_fault(self, kind: str, **options: Unpack[FaultOptions]) -> Fault:
        """Let the next matching requests go wrong: error, error_after, secondary, slow, drop_before, drop_after.

        Raises:
            InvalidControlError: the kind or an option is unknown.
        """
        return self._core.faults.add(kind, **options)

    def faults(self) -> list[Fault]:
        """The faults ordered, with how often each was used."""
        return list(self._core.faults.active)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._core.faults.clear()

    def set_limits(self, **changes: Any) -> Limits:
        """Change rate limits; `enabled=False` switches them off.

        Raises:
            InvalidControlError: a name or a value does not fit.
        """
        self._core.limiter.limits = self._core.limiter.limits.changed(changes)
        return self._core.limiter.limits

    def advance_clock(self, seconds: float) -> None:
        """Move the clock, so that installation tokens expire and limits reset without waiting; JWTs do not follow."""
        self._core.state.clock.advance(seconds)

    def deliveries(self) -> list[HookDelivery]:
        """The webhooks sent, oldest first, through all hooks."""
        return list(self._core.state.deliveries.values())

    async def settle(self) -> None:
        """Wait for redeliveries and for runs that dispatches started."""
        await self._core.sender.settle()

    def clear_dispatches(self) -> None:
        """Forget the dispatches received; indexes start again at 0."""
        self._core.log.clear()

    def reset(self) -> None:
        """Forget everything but the App, the signing keys, the limits' numbers and the ids already given."""
        self._core.state.clear()
        self._core.oauth.clear()
        self._core.sender.muted = False
        self._core.log.clear()
        self._core.faults.clear()
        self._core.limiter.reset()
