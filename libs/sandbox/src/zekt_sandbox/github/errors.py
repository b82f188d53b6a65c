"""GitHub's error answers and the conditions of the stand-in itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

DOCS = "https://docs.github.com/rest"


class SandboxError(Exception):
    """Base of what this package raises at its callers."""


class UnknownNameError(SandboxError):
    """A control named an account, repository, workflow, run or installation that does not exist."""


class InvalidControlError(SandboxError):
    """A control was given something it cannot use."""


@dataclass
class GitHubError(SandboxError):
    """A refusal as GitHub words it."""

    status: int
    message: str
    documentation_url: str = DOCS
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The refusal as GitHub's JSON answer."""
        body = {"message": self.message, **self.extra, "documentation_url": self.documentation_url}
        return web.json_response({**body, "status": str(self.status)}, status=self.status, headers=dict(self.headers))


def not_found() -> GitHubError:
    """What GitHub answers for anything the caller may not know of."""
    return GitHubError(404, "Not Found")


def bad_credentials() -> GitHubError:
    """What GitHub answers to a token that is unknown, revoked or expired."""
    return GitHubError(401, "Bad credentials")


def not_accessible() -> GitHubError:
    """What GitHub answers to a token without the permission."""
    return GitHubError(403, "Resource not accessible by integration")
