"""What a service is: its routes, the resources it opens, and what makes it ready."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from aiohttp import web

from zekt_common.auth.requirements import Requirement
from zekt_common.ports import EventStore

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint and what it requires. `internal` routes listen on the internal port, which no gateway routes."""

    method: str
    path: str
    handler: Handler
    requires: Requirement
    internal: bool = False
    max_body_bytes: int = 1024 * 1024


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one readiness check; `detail` says what to do when it is not ok."""

    name: str
    ok: bool
    detail: str = ""


Checks = Callable[[], Awaitable[Sequence[Check]]]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service, ready to be hosted alone or beside others in one process.

    `lifespan` opens adapters and background tasks and closes them in reverse; handlers run only inside it.
    `drain` is called first on shutdown: stop taking new work, finish or release what is in flight. `accepting` are the
    checks of what the doors need to do what they are for, `checks` those of what else makes the service ready. `store`
    is where the host notes what operators order, None for a service that stores nothing.
    """

    name: str
    routes: Sequence[Route]
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    drain: Callable[[], Awaitable[None]]
    accepting: Checks
    checks: Checks
    store: Callable[[], EventStore] | None = None
