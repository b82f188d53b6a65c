"""How GitHub's OAuth endpoints are asked and how they answer: form-encoded unless JSON is accepted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from zekt_sandbox.github.errors import SandboxError

_DOCS = "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps"
_TROUBLE = f"{_DOCS}/troubleshooting-oauth-app-access-token-request-errors"


@dataclass
class OAuthError(SandboxError):
    """A refusal of an OAuth endpoint; GitHub answers it with status 200."""

    error: str
    description: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        """The refusal's members in GitHub's order."""
        uri = f"{_TROUBLE}/#{self.error.replace('_', '-')}"
        return {"error": self.error, "error_description": self.description, "error_uri": uri, **self.extra}


def incorrect_client() -> OAuthError:
    """What GitHub answers to an unknown client id or a wrong client secret."""
    return OAuthError("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")


async def read_parameters(request: web.Request) -> dict[str, str]:
    """The parameters of the query and of the body, be it a form or JSON; the body wins."""
    found = dict(request.query)
    if request.content_type == "application/json":
        found |= _json_parameters(await request.read())
    else:
        found |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return found


def _json_parameters(body: bytes) -> dict[str, str]:
    try:
        parsed = json.loads(body) if body else {}
    except ValueError:
        return {}
    return {name: str(value) for name, value in parsed.items()} if isinstance(parsed, dict) else {}


def answer(request: web.Request, members: Mapping[str, Any]) -> web.Response:
    """The members as JSON if the caller accepts it, as a form otherwise."""
    if "json" in request.headers.get("Accept", ""):
        return web.json_response(dict(members))
    return web.Response(text=urlencode(members), content_type="application/x-www-form-urlencoded")
