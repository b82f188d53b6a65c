"""What a caller may say of a repository's webhook, checked as GitHub checks it."""

from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

from zekt_sandbox.github.errors import GitHubError
from zekt_sandbox.github.signing import Hook

_CONTENT_TYPES = ("json", "form")


@dataclass(frozen=True, slots=True)
class HookBody:
    """A checked body: members of a hook and their new values."""

    changes: dict[str, Any]

    @classmethod
    def of_new(cls, body: dict[str, Any]) -> "HookBody":
        """The body that places a hook; `name`, if there, must be `web`.

        Raises:
            GitHubError: 422.
        """
        if body.get("name", "web") != "web":
            _refuse("name", "is invalid")
        if not isinstance(body.get("config"), dict):
            raise GitHubError(422, 'Invalid request.\n\n"config" wasn\'t supplied.')
        return cls({**_config(body["config"]), **_events(body), **_active(body)})

    @classmethod
    def of_change(cls, body: dict[str, Any], hook: Hook) -> "HookBody":
        """The body that changes `hook`.

        Raises:
            GitHubError: 422.
        """
        config = _config(body["config"]) if isinstance(body.get("config"), dict) else {}
        changes = {**config, **_events(body), **_active(body)}
        events = list(changes.get("events", hook.events))
        events += [one for one in _strings(body, "add_events") if one not in events]
        kept = [one for one in events if one not in _strings(body, "remove_events")]
        return cls({**changes, "events": tuple(kept)})

    def apply(self, hook: Hook) -> Hook:
        """The hook with these values."""
        return replace(hook, **self.changes)


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
