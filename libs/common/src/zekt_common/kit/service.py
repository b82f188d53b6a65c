"""What a service is: its routes, the resources it opens, and what makes it ready."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(StrEnum):
    """What a route requires of its caller. Every route names one; the host enforces those it can see."""

    PUBLIC = "public"
    """Anyone: probes and public keys."""
    WEBHOOK_SIGNATURE = "webhook-signature"
    """A GitHub webhook signed with one of our secrets; verified by the handler over the raw bytes."""
    ACTIONS_TOKEN = "actions-token"  # noqa: S105 - the name of a requirement
    """A GitHub Actions OIDC token; verified by the handler, since what it may do depends on the body."""
    SIGN_IN = "sign-in"
    """A browser or command line that is signing in: bound by the handler to the attempt that it has begun."""
    SESSION = "session"
    """A person's session, as cookie or bearer; verified by the handler, and good for that person's own account."""
    OPERATOR = "operator"
    """The data directory's operator token over loopback; enforced by the host."""
    SERVICE_TOKEN = "service-token"  # noqa: S105 - the name of a requirement
    """A service token with the role that the handler names; verified by the handler; internal port only."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. `internal` routes listen on the internal port, which no gateway routes."""

    method: str
    path: str
    handler: Handler
    requires: Access
    internal: bool = False
    max_body_bytes: int = 1024 * 1024


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one readiness check; `detail` says what to do when it is not ok."""

    name: str
    ok: bool
    detail: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service, ready to be hosted alone or beside others in one process.

    `lifespan` opens adapters and background tasks and closes them in reverse; handlers run only inside it.
    `drain` is called first on shutdown: stop taking new work, finish or release what is in flight.
    """

    name: str
    routes: Sequence[Route]
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    drain: Callable[[], Awaitable[None]]
    checks: Callable[[], Awaitable[Sequence[Check]]]
