"""`/repos/{owner}/{repo}/hooks`: webhooks that a repository's admin places, changes and removes."""

import json
from functools import partial
from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import repository_hook_json
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, not_found
from zekt_sandbox.github.hook_body import changed_hook, new_hook
from zekt_sandbox.github.model import Account, Repository
from zekt_sandbox.github.pages import page
from zekt_sandbox.github.resources import account_json, repository_json
from zekt_sandbox.github.signing import Hook

routes = web.RouteTableDef()
_HOOKS = "/repos/{owner}/{repo}/hooks"
_HOOK = _HOOKS + r"/{hook_id:\d+}"


@routes.get(_HOOKS)
async def list_hooks(request: web.Request) -> web.Response:
    """The hooks of a repository."""
    repository = _repository(request, "read")
    found = _placed(request.config_dict[CORE], repository)
    return page(request, found, lambda one: repository_hook_json(one, repository))


@routes.post(_HOOKS)
async def create_hook(request: web.Request) -> web.Response:
    """Place a hook, and ping it."""
    core, repository = request.config_dict[CORE], _repository(request, "write")
    blank = Hook(core.state.ids.next("hook"), "", "", "repository", repository.id, events=("push",))
    hook = new_hook(blank, _parsed(await request.read()))
    _require_unique(core, repository, hook)
    core.state.repository_hooks.setdefault(repository.id, []).append(hook)
    core.sender.later(partial(_ping, core, repository, hook, core.auth.person(request)))
    return web.json_response(repository_hook_json(hook, repository), status=201)


@routes.get(_HOOK)
async def get_hook(request: web.Request) -> web.Response:
    """One hook; its secret is not shown."""
    repository = _repository(request, "read")
    return web.json_response(repository_hook_json(_hook(request, repository), repository))


@routes.patch(_HOOK)
async def update_hook(request: web.Request) -> web.Response:
    """Change a hook; a new `config` replaces all of the old one, its secret too."""
    core, repository = request.config_dict[CORE], _repository(request, "write")
    hook = _hook(request, repository)
    changed = changed_hook(hook, _parsed(await request.read()))
    _require_unique(core, repository, changed)
    placed = core.state.repository_hooks[repository.id]
    placed[placed.index(hook)] = changed
    return web.json_response(repository_hook_json(changed, repository))


@routes.delete(_HOOK)
async def delete_hook(request: web.Request) -> web.Response:
    """Remove a hook."""
    repository = _repository(request, "write")
    request.config_dict[CORE].state.repository_hooks[repository.id].remove(_hook(request, repository))
    return web.Response(status=204)


def _repository(request: web.Request, level: str) -> Repository:
    repository = request.config_dict[CORE].auth.repository(request, "repository_hooks", level, role="admin")
    if repository.archived and level == "write":
        raise GitHubError(403, "Repository was archived so is read-only.")
    return repository


def _placed(core: Core, repository: Repository) -> list[Hook]:
    return core.state.repository_hooks.get(repository.id, [])


def _hook(request: web.Request, repository: Repository) -> Hook:
    number = int(request.match_info["hook_id"])
    found = next((one for one in _placed(request.config_dict[CORE], repository) if one.id == number), None)
    if found is None:
        raise not_found()
    return found


def _require_unique(core: Core, repository: Repository, hook: Hook) -> None:
    """Refuse a second hook of the same configuration that hears of the same events."""
    others = [one for one in _placed(core, repository) if one.id != hook.id]
    same = [one for one in others if (one.url, one.content_type) == (hook.url, hook.content_type)]
    if any(set(one.events) & set(hook.events) for one in same):
        error = {"resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"}
        raise GitHubError(422, "Validation Failed", extra={"errors": [error]})


async def _ping(core: Core, repository: Repository, hook: Hook, person: Account | None) -> None:
    app = core.state.app
    sender = person or Account(app.id, f"{app.slug}[bot]", "Bot")
    payload: dict[str, Any] = {"zen": "Keep it logically awesome.", "hook_id": hook.id}
    payload |= {"hook": repository_hook_json(hook, repository), "repository": repository_json(repository)}
    delivery = core.sender.prepare_event("ping", {**payload, "sender": account_json(sender)}, hook)
    delivery.repository_id = repository.id
    await core.sender.send(delivery)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise GitHubError(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise GitHubError(400, "Body should be a JSON object")
    return body
