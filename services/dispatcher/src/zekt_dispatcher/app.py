"""The dispatcher's composition: the one place that names what its ports are made of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp

from zekt_common.adapters.backend import Backend, Part
from zekt_common.adapters.configured_backend import open_configured_backend
from zekt_common.auth.actions_oidc import ActionsTokenVerifier
from zekt_common.auth.service_access import service_tokens
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.contracts.router import DeliveryRequested
from zekt_common.envelope import Event
from zekt_common.kit.consumer import Consumer, Handler
from zekt_common.kit.identity_client import IdentityClient
from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.projector import Projector
from zekt_common.kit.retention import Retention
from zekt_common.kit.service import Check, Service
from zekt_common.kit.sweeper import Sweeper
from zekt_common.stored_schemas import versions_of
from zekt_dispatcher.allowances import Allowances
from zekt_dispatcher.budgets import Budgets
from zekt_dispatcher.consumer_http import ConsumerDesk, ConsumerRoutes
from zekt_dispatcher.delivery import decider
from zekt_dispatcher.delivery_events import SCHEMAS
from zekt_dispatcher.dispatching import Dispatching
from zekt_dispatcher.github import GitHub
from zekt_dispatcher.handlers import Handlers
from zekt_dispatcher.ledger import Ledger
from zekt_dispatcher.operator_http import OperatorDesk, OperatorRoutes
from zekt_dispatcher.preparing import Preparation
from zekt_dispatcher.settings import DispatcherSettings
from zekt_dispatcher.standing import Standing
from zekt_dispatcher.telling import report_from_zero
from zekt_dispatcher.tokens import DispatchTokens
from zekt_dispatcher.views import project

NAME: Final = "dispatcher"
READ: Final = versions_of(SCHEMAS)
"""The events that it stores and reads."""
HANDLERS_PER_SLOT: Final = 2
"""Handlers beyond the slots wait for one, so that a slow installation's do not keep others' from being looked at."""
OTHER_CONNECTIONS: Final = 16


class _Dispatcher:
    """What exists while the service runs."""

    consumers: ConsumerDesk
    operators: OperatorDesk
    operated: Operated

    def __init__(self, settings: DispatcherSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            opening = open_configured_backend(self._settings, NAME, clock=self._clock, read=READ)
            self._backend = backend = await stack.enter_async_context(opening)
            connections = aiohttp.TCPConnector(limit=self._settings.concurrency + OTHER_CONNECTIONS)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connections))
            self._build(backend, http)
            report_from_zero()
            stack.push_async_callback(self._tokens.close)
            stack.callback(self._allowances.watch(self._budgets))
            parts = (self._projector, self._consumer, self._installations, self._sweeper, self._retention)
            loops = [asyncio.create_task(part.run()) for part in parts]
            stack.push_async_callback(_end, loops)
            yield

    async def drain(self) -> None:
        """Take nothing new; attempts under way get their outcome stored, or are found open by the timers."""
        await asyncio.gather(self._consumer.drain(), self._installations.drain(), self._sweeper.drain())

    async def accepting(self) -> Sequence[Check]:
        """Return whether consumers can fetch payloads and confirm, and would see everything that is stored."""
        caught_up = self._projector.caught_up.is_set()
        views = Check(name="views", ok=caught_up, detail="" if caught_up else "reading its own events; wait a moment")
        return [views, *await self._backend.checks(Part.DATABASE, Part.PAYLOADS, Part.KEYS)]

    async def checks(self) -> Sequence[Check]:
        """Return whether deliveries are asked for and go out."""
        heard = self._installations.caught_up.is_set()
        standing = Check(name="installations", ok=heard, detail="" if heard else "reading identity's messages")
        return [standing, *await self._backend.checks(Part.BUS)]

    def _build(self, backend: Backend, http: aiohttp.ClientSession) -> None:
        settings, clock = self._settings, self._clock
        self._budgets = budgets = Budgets(settings.concurrency)
        self._allowances = Allowances()
        own = service_tokens(settings.entra, settings.host.data_dir, service=NAME, roles=[TOKENS_INSTALLATION])
        identity = IdentityClient(http, settings.identity_url, own)
        self._tokens = DispatchTokens(identity, clock=clock)
        ledger, standing = Ledger(backend.store, decider(settings.policy)), Standing(backend.views)
        preparation = Preparation(
            backend.payloads,
            self._tokens,
            budgets,
            standing,
            public_url=settings.public_url,
            safe_size_bytes=settings.safe_size_bytes,
            clock=clock,
        )
        github = GitHub(http, settings.github_api_url, clock=clock)
        dispatching = Dispatching(
            ledger,
            preparation,
            github,
            self._tokens,
            budgets,
            allowances=self._allowances,
            post_timeout_s=settings.post_timeout_s,
            clock=clock,
        )
        handlers = Handlers(ledger, dispatching, settings.policy, clock=clock)
        self._installations = Consumer(backend.bus, "identity", NAME, standing.handlers(), clock=clock)
        self._start_parts(backend, handlers)
        self._open_desks(backend, http, ledger, handlers)

    def _start_parts(self, backend: Backend, handlers: Handlers) -> None:
        at_once = self._settings.concurrency * HANDLERS_PER_SLOT
        handled: dict[type[Event], Handler] = {DeliveryRequested: handlers.requested}
        self._consumer = Consumer(backend.bus, "router", NAME, handled, concurrency=at_once, clock=self._clock)
        self._projector = Projector(
            backend.store,
            backend.views,
            name=NAME,
            project=lambda envelope: project(envelope, self._clock()),
            clock=self._clock,
        )
        self._retention = Retention(backend.expiring, backend.leases, name=NAME)
        self._sweeper = Sweeper(
            backend.views, backend.leases, name=NAME, fire=handlers.fire, now=self._clock, concurrency=at_once
        )

    def _open_desks(self, backend: Backend, http: aiohttp.ClientSession, ledger: Ledger, handlers: Handlers) -> None:
        settings = self._settings
        verifier = ActionsTokenVerifier(
            http, issuer=settings.oidc_issuer, audience=settings.oidc_audience, clock=self._clock
        )
        self.consumers = ConsumerDesk(
            verifier=verifier,
            views=backend.views,
            payloads=backend.payloads,
            ledger=ledger,
            projector=self._projector,
        )
        self.operators = OperatorDesk(
            store=backend.store, views=backend.views, ledger=ledger, handlers=handlers, nudge=self._sweeper.nudge
        )
        self.operated = Operated(
            store=backend.store,
            bus=backend.bus,
            views=backend.views,
            consumers={"router": self._consumer, "identity": self._installations},
            projectors={NAME: self._projector},
        )


def build_service(settings: DispatcherSettings, *, clock: Clock = utc_now) -> Service:
    """Return the dispatcher, ready to be hosted."""
    dispatcher = _Dispatcher(settings, clock)
    consumers = ConsumerRoutes(lambda: dispatcher.consumers)
    operators = OperatorRoutes(lambda: dispatcher.operators)
    return Service(
        name=NAME,
        routes=[
            *consumers.routes(),
            *operators.routes(),
            *operations_routes(NAME, lambda: dispatcher.operated),
        ],
        lifespan=dispatcher.lifespan,
        drain=dispatcher.drain,
        accepting=dispatcher.accepting,
        checks=dispatcher.checks,
        store=lambda: dispatcher.operated.store,
    )


async def _end(loops: Sequence[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
