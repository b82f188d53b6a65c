"""Workflows and runs."""

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, not_found
from zekt_sandbox.github.model import Repository, WorkflowRun
from zekt_sandbox.github.pages import page
from zekt_sandbox.github.resources import run_json, workflow_json

routes = web.RouteTableDef()
_ACTIONS = "/repos/{owner}/{repo}/actions"
_RUN = _ACTIONS + r"/runs/{run_id:\d+}"
_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_DATE_LENGTH = len("2026-01-31")


@routes.get(_ACTIONS + "/workflows")
async def list_workflows(request: web.Request) -> web.Response:
    """The workflows of a repository."""
    core = request.config_dict[CORE]
    repository = core.auth.repository(request, "actions", "read")
    found = list(core.state.workflows[repository.id].values())
    return page(request, found, lambda one: workflow_json(one, repository), "workflows")


@routes.get(_ACTIONS + "/runs")
async def list_runs(request: web.Request) -> web.Response:
    """The runs of a repository, newest first, filtered by event, branch, status and time of creation."""
    core = request.config_dict[CORE]
    repository = core.auth.repository(request, "actions", "read")
    runs = [attempts[-1] for attempts in core.state.runs.values() if attempts[-1].repository is repository]
    created = _created_range(request.query.get("created", "*..*"))
    chosen = [run for run in reversed(runs) if _matches(request, run) and created(iso(run.created_at))]
    return page(request, chosen, run_json, "workflow_runs")


@routes.get(_RUN)
async def get_run(request: web.Request) -> web.Response:
    """The latest attempt of a run."""
    return web.json_response(run_json(_attempts(request, "read")[-1]))


@routes.get(_RUN + r"/attempts/{attempt:\d+}")
async def get_attempt(request: web.Request) -> web.Response:
    """One attempt of a run."""
    attempts, number = _attempts(request, "read"), int(request.match_info["attempt"])
    if not 1 <= number <= len(attempts):
        raise not_found()
    return web.json_response(run_json(attempts[number - 1]))


@routes.post(_RUN + "/rerun")
async def rerun(request: web.Request) -> web.Response:
    """Run a completed run again."""
    core: Core = request.config_dict[CORE]
    last = _attempts(request, "write")[-1]
    if last.status != "completed":
        raise GitHubError(403, "This workflow is already running")
    attempt = core.state.next_attempt(last.id)
    core.sender.later(partial(core.runs.announce, attempt))
    return web.json_response({}, status=201)


def _attempts(request: web.Request, level: str) -> list[WorkflowRun]:
    core = request.config_dict[CORE]
    repository: Repository = core.auth.repository(request, "actions", level)
    attempts = core.state.runs.get(int(request.match_info["run_id"]))
    if attempts is None or attempts[-1].repository is not repository:
        raise not_found()
    return attempts


def _matches(request: web.Request, run: WorkflowRun) -> bool:
    query = request.query
    asked = {"event": run.event, "branch": run.head_branch, "head_sha": run.head_sha, "actor": run.actor.login}
    if any(query.get(name, value) != value for name, value in asked.items()):
        return False
    return query.get("status", run.status) in (run.status, run.conclusion)


def _created_range(expression: str) -> Callable[[str], bool]:
    """GitHub's search syntax for dates: `>=T`, `<T`, `T..U`, or one day."""
    for sign, fits in _COMPARISONS.items():
        if expression.startswith(sign):
            bound = _instant(expression.removeprefix(sign))
            return lambda created: bool(fits(created, bound))
    first, _, last = expression.partition("..")
    earliest, latest = _instant(first), _instant(last or first, end_of_day=True)
    return lambda created: earliest <= created <= latest


def _instant(text: str, *, end_of_day: bool = False) -> str:
    if text == "*":
        return "9999" if end_of_day else "0000"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise GitHubError(422, "Invalid request.\n\nThe value of created is not a date.") from None
    if end_of_day and len(text) == _DATE_LENGTH:
        parsed = parsed.replace(hour=23, minute=59, second=59)
    seconds = parsed.timestamp() if parsed.tzinfo else parsed.replace(tzinfo=UTC).timestamp()
    return iso(seconds)
