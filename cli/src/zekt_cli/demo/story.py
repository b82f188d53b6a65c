"""The main job, step by step; every outcome that matters is read from the GitHub stand-in."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Any, Final

import msgspec

from zekt_cli.catalog.applying import Applied, apply_catalog, await_seen
from zekt_cli.catalog.file import load
from zekt_cli.client import Answer, HttpClient
from zekt_cli.demo.checks import PATIENCE_S, Checks
from zekt_cli.demo.github import Dispatch, Run
from zekt_cli.demo.suite import DemoSuite
from zekt_cli.exits import CommandFailed
from zekt_cli.tracing.collect import collect, resolve
from zekt_cli.tracing.order import Step, in_causal_order

PROVIDER: Final = "acme/provider"
CONSUMERS: Final = ("beta/consumer", "gamma/consumer")
LISTED: Final = ".github/workflows/release.yml"
NOT_LISTED: Final = ".github/workflows/nightly.yml"
EVENT_TYPE: Final = "release-published"
MESSAGE: Final = {"version": "2.4.0", "channel": "stable"}
_OK, _ACCEPTED, _NO_CONTENT = 200, 202, 204


@dataclass(frozen=True)
class Story:
    """Acts on one suite and checks what comes of it; each step returns what there is to tell."""

    demo: DemoSuite
    checks: Checks = field(default_factory=Checks)
    patience_s: float = PATIENCE_S

    def onboard(self) -> Applied:
        """Make three organisations exist at GitHub, and tell Zekt who provides and who consumes."""
        self.demo.github.onboard(PROVIDER, {LISTED: "Release", NOT_LISTED: "Nightly"})
        for consumer in CONSUMERS:
            self.demo.github.onboard(consumer, {})
        with as_file(files("zekt_cli.demo") / "catalog.yaml") as path:
            applied = apply_catalog(self.demo.suite, load(path))
        await_seen(self.demo.suite, applied.positions, timeout_s=PATIENCE_S)
        self.checks.that("the catalog is applied", len(applied.changed) == len(applied.changes), applied.changed)
        return applied

    def start_run(self) -> Run:
        """Start a run of the workflow that is on the list."""
        return self.demo.github.start_run(PROVIDER, LISTED)

    def post_message(self, run: Run) -> dict[str, Any]:
        """Post the message that the run has for its consumers, as zekt-action does."""
        token = self.demo.github.oidc_token(run)
        self.checks.that("the run's token is signed with RS256", _algorithm(token) == "RS256", _algorithm(token))
        answer = post_event(self.demo.suite.url, token, run)
        body: dict[str, Any] = answer.body or {}
        self.checks.that("the message is accepted", answer.status == _OK and body.get("success") is True, answer.detail)
        self.checks.that("two consumers are told of", body.get("consumersNotified") == len(CONSUMERS), body)
        return body

    def complete(self, run: Run) -> None:
        """End the run; GitHub reports it with a signed `workflow_run` webhook."""
        statuses = [delivery["status_code"] for delivery in self.demo.github.complete(run)]
        self.checks.that("the signed webhook is accepted", statuses == [_ACCEPTED], statuses)

    def dispatches(self, run: Run) -> list[Dispatch]:
        """Read at GitHub what the consumers were sent."""
        found = self.demo.github.dispatches(wait=len(CONSUMERS), within_s=self.patience_s)
        targets = sorted(dispatch.repository for dispatch in found)
        self.checks.that("each consumer gets one dispatch", targets == list(CONSUMERS), targets)
        for sent in found:
            self._check_dispatch(sent, run)
        return sorted(found, key=lambda dispatch: dispatch.repository)

    def block(self) -> str:
        """Complete a run of a workflow that is not on the list, and return why nothing came of it."""
        run = self.demo.github.start_run(PROVIDER, NOT_LISTED)
        self.complete(run)
        reason = self.checks.eventually("the run that is not listed is blocked", lambda: self._blocked(run))
        self.checks.that("it is blocked for not being listed", reason == "workflow_not_listed", reason)
        count = len(self.demo.github.dispatches())
        self.checks.that("GitHub received no dispatch for it", count == len(CONSUMERS), f"{count} dispatches in all")
        return reason

    def trace(self, run: Run) -> list[Step]:
        """Return what happened in between, once the outcome of every dispatch is stored."""
        return self.checks.eventually("the trace reaches from message to dispatches", lambda: self._whole_trace(run))

    def _check_dispatch(self, sent: Dispatch, run: Run) -> None:
        zekt = sent.client_payload.get("zekt", {})
        self.checks.that("GitHub accepts the dispatch", sent.status == _NO_CONTENT, sent.status)
        self.checks.that("it has the message's event type", sent.event_type == EVENT_TYPE, sent.event_type)
        self.checks.that("it carries the message", zekt.get("payload") == MESSAGE, sent.client_payload)
        self.checks.that("it names the run", str(zekt.get("correlationId")) == str(run.id), sent.client_payload)

    def _blocked(self, run: Run) -> str | None:
        answer = self.demo.suite.request("GET", f"/api/runs/{run.correlation}")
        if answer.status != _OK:
            return None
        reasons: list[str] = [attempt["reason"] for attempt in answer.body["attempts"] if "reason" in attempt]
        return reasons[0] if reasons else None

    def _whole_trace(self, run: Run) -> list[Step] | None:
        try:
            steps = in_causal_order(collect(self.demo.suite, resolve(self.demo.suite, run.correlation)))
        except CommandFailed:
            return None
        dispatched = [step for step in steps if step.event.envelope.type.endswith(".dispatched")]
        return steps if len(dispatched) == len(CONSUMERS) else None


def post_event(suite_url: str, token: str, run: Run) -> Answer:
    """Post the run's message for its consumers with the token of one of its jobs."""
    body = {
        "eventType": EVENT_TYPE,
        "repository": PROVIDER,
        "workflowRunId": str(run.id),
        "triggeredBy": "octocat",
        "commitSha": run.head_sha,
        "ref": f"refs/heads/{run.head_branch}",
        "workflow": run.name,
        "payload": MESSAGE,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    action = HttpClient(suite_url, headers={"Authorization": f"Bearer {token}", "X-GitHub-Repository": PROVIDER})
    return action.request("POST", "/api/events/receive", body=body)


def _algorithm(token: str) -> str:
    header = token.partition(".")[0]
    fields: dict[str, str] = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    return fields["alg"]
