"""JSON bodies of control calls, read strictly: an unknown name is an error, not silence."""

import json
from typing import Any, TypeVar, cast, get_type_hints

from aiohttp import web

from zekt_sandbox.github.controls import Controls
from zekt_sandbox.github.errors import InvalidControlError

CONTROLS = web.AppKey("controls", Controls)
Options = TypeVar("Options")
_PLAIN = (str, int, bool)


class Body:
    """The members of one body, each taken once."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    @classmethod
    async def read(cls, request: web.Request) -> "Body":
        """The body of a request; none at all counts as `{}`.

        Raises:
            InvalidControlError: it is not a JSON object.
        """
        raw = await request.read()
        try:
            members = json.loads(raw) if raw else {}
        except ValueError:
            members = None
        if not isinstance(members, dict):
            raise InvalidControlError("the body must be a JSON object")
        return cls(members)

    def required(self, name: str) -> Any:
        """Take a member that must be there.

        Raises:
            InvalidControlError: it is missing.
        """
        if name not in self._members:
            raise InvalidControlError(f"{name!r} is missing")
        return self._members.pop(name)

    def optional(self, name: str, *, default: Any = None) -> Any:
        """Take a member that may be there."""
        return self._members.pop(name, default)

    def rest(self, kind: type[Options]) -> Options:
        """All other members, as the options of a control.

        Raises:
            InvalidControlError: one is unknown or of the wrong type.
        """
        hints = get_type_hints(kind)
        for name, value in self._members.items():
            hint = hints.get(name)
            if hint is None or (hint in _PLAIN and type(value) is not hint):
                raise InvalidControlError(f"{name!r} is unknown or of the wrong type; known: {sorted(hints)}")
        return cast("Options", self._members)

    def members(self) -> dict[str, Any]:
        """All other members, for a control that checks them itself."""
        return self._members

    def end(self) -> None:
        """Expect nothing more.

        Raises:
            InvalidControlError: something is left.
        """
        if self._members:
            raise InvalidControlError(f"unknown: {sorted(self._members)}")


def controls(request: web.Request) -> Controls:
    """The controls of the stand-in that serves `request`."""
    return request.app[CONTROLS]
