"""The life of a workflow run: started, completed, run again, each told to the hooks."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.hook_sender import HookSender
from zekt_sandbox.github.model import HookDelivery, Repository, WorkflowRun
from zekt_sandbox.github.state import ANYBODY, GitHubState

CONCLUSIONS = frozenset(
    {
        "action_required",
        "cancelled",
        "failure",
        "neutral",
        "skipped",
        "stale",
        "startup_failure",
        "success",
        "timed_out",
    }
)


class RunOptions(TypedDict, total=False):
    """What may be said of a run when it starts; `head_repository` is the fork it comes from, as `owner/name`."""

    id: int
    event: str
    branch: str
    sha: str
    actor: str
    head_repository: str
    run_number: int


class SendOptions(TypedDict, total=False):
    """How a run's webhooks go: `through` some kinds of hook only (app, repository), each `repeat` times."""

    through: Sequence[str]
    repeat: int


class RunBook:
    """Starts, completes and repeats runs; the callers choose whether webhooks are sent."""

    def __init__(self, state: GitHubState, sender: HookSender) -> None:
        self._state = state
        self._sender = sender

    def start(self, repository: Repository, path: str, **options: Unpack[RunOptions]) -> WorkflowRun:
        """A new run in progress.

        Raises:
            UnknownNameError: the repository has no such workflow.
            InvalidControlError: the id is taken.
        """
        workflow, now = self._state.workflow(repository, path), self._state.clock.now()
        run_id = options.get("id") or self._state.ids.next("run")
        if run_id in self._state.runs:
            raise InvalidControlError(f"run {run_id} exists already")
        run = WorkflowRun(
            id=run_id,
            repository=repository,
            workflow=workflow,
            actor=self._state.actor(options.get("actor", ANYBODY)),
            head_repository=self._head(repository, options.get("head_repository")),
            run_number=options.get("run_number") or len(self._state.runs) + 1,
            head_branch=options.get("branch", repository.default_branch),
            head_sha=options.get("sha", f"{run_id:040x}"),
            event=options.get("event", "push"),
            created_at=now,
            started_at=now,
            updated_at=now,
        )
        self._state.runs[run_id] = [run]
        return run

    def complete(self, run_id: int, conclusion: str) -> WorkflowRun:
        """End the latest attempt of a run.

        Raises:
            UnknownNameError: there is no such run.
            InvalidControlError: GitHub knows no such conclusion.
        """
        if conclusion not in CONCLUSIONS:
            raise InvalidControlError(f"{conclusion!r} is no conclusion; GitHub has {sorted(CONCLUSIONS)}")
        run = self._state.run(run_id)
        run.status, run.conclusion, run.updated_at = "completed", conclusion, self._state.clock.now()
        return run

    async def announce(self, run: WorkflowRun) -> None:
        """Tell the hooks that a run was queued and then that it is in progress."""
        run.status = "queued"
        await self.tell(run, "requested")
        if run.status == "queued":  # someone may have completed it while the webhook was on its way
            run.status = "in_progress"
            await self.tell(run, "in_progress")

    async def tell(self, run: WorkflowRun, action: str, **options: Unpack[SendOptions]) -> list[HookDelivery]:
        """Send the run's webhook through its hooks, one after the other, and return what became of each."""
        sent: list[HookDelivery] = []
        for delivery in self._sender.prepare(run, action, options.get("through")):
            sent.append(await self._sender.send(delivery))
            sent += [await self._sender.redeliver(delivery) for _ in range(options.get("repeat", 1) - 1)]
        return sent

    async def react(self, repository: Repository) -> None:
        """Start the run that an accepted dispatch triggers, and complete it if the repository is set so."""
        if repository.reaction is None:
            return
        run = self.start(repository, repository.reaction.workflow, event="repository_dispatch")
        await self.announce(run)
        if repository.reaction.conclusion is not None:
            await self.tell(self.complete(run.id, repository.reaction.conclusion), "completed")

    def _head(self, repository: Repository, head: str | None) -> Repository:
        return repository if head is None else self._state.repository(head)
