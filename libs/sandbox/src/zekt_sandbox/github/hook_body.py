"""What a caller may say of a repository's webhook, checked as GitHub checks it."""

from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

from zekt_sandbox.github.errors import GitHubError
from zekt_sandbox.github.signing import Hook

_CONTENT_TYPES = ("json", "form")


def new_hook(blank: Hook, body: dict[str, Any]) -> Hook:
    """`blank` with what the body says; `name`, if there, must be `web`.

    Raises:
        GitHubError: 422.
    """
    if body.get("name", "web") != "web":
        _refuse("name", "is invalid")
    if not isinstance(body.get("config"), dict):
        raise GitHubError(422, 'Invalid request.\n\n"config" wasn\'t supplied.')
    return replace(blank, **_said(body))


def changed_hook(hook: Hook, body: dict[str, Any]) -> Hook:
    """`hook` with what the body changes.

    Raises:
        GitHubError: 422.
    """
    changed = replace(hook, **_said(body))
    more, less = _strings(body, "add_events"), _strings(body, "remove_events")
    events = dict.fromkeys([*changed.events, *more])
    return replace(changed, events=tuple(one for one in events if one not in less))


def _said(body: dict[str, Any]) -> dict[str, Any]:
    config = _config(body["config"]) if isinstance(body.get("config"), dict) else {}
    return {**config, **_events(body), **_active(body)}


def _config(config: dict[str, Any]) -> dict[str, Any]:
    url, content_type, secret = config.get("url"), config.get("content_type", "form"), config.get("secret", "")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        _refuse("url", "is missing a scheme")
    if content_type not in _CONTENT_TYPES:
        _refuse("content_type", "is invalid")
    if not isinstance(secret, str):
        _refuse("secret", "is invalid")
    return {"url": url, "content_type": content_type, "secret": secret}


def _events(body: dict[str, Any]) -> dict[str, Any]:
    return {"events": tuple(_strings(body, "events"))} if "events" in body else {}


def _active(body: dict[str, Any]) -> dict[str, Any]:
    active = body.get("active", True)
    if not isinstance(active, bool):
        _refuse("active", "is not a boolean")
    return {"active": active} if "active" in body else {}


def _strings(body: dict[str, Any], name: str) -> list[str]:
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        _refuse(name, "is not an array of strings")
    return found


def _refuse(field: str, reason: str) -> NoReturn:
    error = {"resource": "Hook", "code": "custom", "field": field, "message": f"{field} {reason}"}
    raise GitHubError(422, "Validation Failed", extra={"errors": [error]})
