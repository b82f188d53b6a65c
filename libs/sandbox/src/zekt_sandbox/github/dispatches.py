"""`POST /repos/{owner}/{repo}/dispatches` with all of GitHub's refusals."""

import json
from functools import partial
from typing import Any

from aiohttp import web

from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.errors import DOCS, GitHubError
from zekt_sandbox.github.gateway import DISPATCH

routes = web.RouteTableDef()
MAX_EVENT_TYPE = 100
MAX_KEYS = 10
PAYLOAD_LIMIT_BYTES = 65_536
_DOCS = f"{DOCS}/repos/repos#create-a-repository-dispatch-event"


@routes.post("/repos/{owner}/{repo}/dispatches")
async def create_dispatch(request: web.Request) -> web.Response:
    """Take a repository dispatch, or refuse it as GitHub does; 204 says nothing about a run."""
    core = request.config_dict[CORE]
    record = request[DISPATCH]
    core.auth.caller(request)
    body = _parsed(record.body)
    repository = core.auth.repository(request, "contents", "write")
    if repository.archived:
        raise GitHubError(403, "Repository was archived so is read-only.", _DOCS)
    event_type = _checked(body, len(record.body))
    core.limiter.trigger(repository.id)
    core.log.accept(record, event_type, repository.id)
    if repository.reaction is not None:
        core.sender.later(partial(core.runs.react, repository))
    return web.Response(status=204)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise GitHubError(400, "Problems parsing JSON", _DOCS) from None
    if not isinstance(body, dict):
        raise GitHubError(400, "Body should be a JSON object", _DOCS)
    return body


def _checked(body: dict[str, Any], body_size: int) -> str:
    event_type, payload = body.get("event_type"), body.get("client_payload", {})
    if event_type is None:
        raise _invalid('"event_type" wasn\'t supplied.')
    if not isinstance(event_type, str):
        raise _invalid(f"For 'properties/event_type', {json.dumps(event_type)} is not a string.")
    if not 0 < len(event_type) <= MAX_EVENT_TYPE:
        raise _invalid(f"Only {MAX_EVENT_TYPE} characters are allowed; {len(event_type)} were supplied.")
    if not isinstance(payload, dict):
        raise _invalid(f"For 'properties/client_payload', {json.dumps(payload)[:200]} is not an object.")
    if len(payload) > MAX_KEYS:
        raise _invalid(f"No more than {MAX_KEYS} properties are allowed; {len(payload)} were supplied.")
    # A whole body under the limit cannot hold a payload over it, so that nearly no body is written out again.
    if body_size >= PAYLOAD_LIMIT_BYTES and payload_size(payload) >= PAYLOAD_LIMIT_BYTES:
        raise GitHubError(422, "client_payload is too large.", _DOCS)
    return event_type


def payload_size(payload: dict[str, Any]) -> int:
    """Bytes of a client payload as compact UTF-8 JSON."""
    return len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _invalid(reason: str) -> GitHubError:
    return GitHubError(422, f"Invalid request.\n\n{reason}", _DOCS)
