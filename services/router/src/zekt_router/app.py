"""The router's composition: the one place that names what its ports are made of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from zekt_common.adapters.backend import Backend, Part
from zekt_common.adapters.configured_backend import open_configured_backend
from zekt_common.auth.service_access import service_tokens
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.contracts.ingress import MessageReceived, RunCompleted, Watermark
from zekt_common.kit.consumer import Consumer
from zekt_common.kit.identity_client import IdentityClient
from zekt_common.kit.operations import Operated
from zekt_common.kit.projector import Projector
from zekt_common.kit.relay import Relay
from zekt_common.kit.retention import Retention
from zekt_common.kit.service import Check, Service
from zekt_common.kit.supervision import finish
from zekt_common.kit.sweeper import Fire, Sweeper
from zekt_common.stored_schemas import versions_of
from zekt_router.allowance import Allowance
from zekt_router.apply import Applier
from zekt_router.catalog_events import CATALOG_SCHEMAS
from zekt_router.catalog_model import account_of
from zekt_router.catalogs import Catalogs
from zekt_router.directory import InstalledNames, KnownNames
from zekt_router.handlers import Handlers
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.horizon import Horizon
from zekt_router.http import Doors, routes
from zekt_router.ownership import Ownership
from zekt_router.process import Runs
from zekt_router.projections import project
from zekt_router.resolve import Resolver
from zekt_router.run_events import RUN_SCHEMAS
from zekt_router.settings import RouterSettings
from zekt_router.translate import TOPIC, translate

NAME: Final = "router"
READ: Final = versions_of([*CATALOG_SCHEMAS, *RUN_SCHEMAS])
"""The events that it stores and reads; the host's notes, read for audits, have one schema in every release so far."""


class _Router:
    """What exists while the service runs."""

    backend: Backend
    doors: Doors
    consumer: Consumer
    sweeper: Sweeper
    projector: Projector
    relay: Relay

    def __init__(self, settings: RouterSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with (
            open_configured_backend(self._settings, NAME, clock=self._clock, read=READ) as backend,
            aiohttp.ClientSession() as http,
        ):
            self.backend = backend
            horizon = Horizon(backend.views)
            catalogs, heard = Catalogs(backend.store), Heard(backend.views)
            self._heeding = Heeding(backend.store, backend.views, catalogs, heard)
            self._compose_loops(backend, horizon, catalogs)
            self._compose_doors(backend, catalogs, heard, http)
            retention = Retention(backend.expiring, backend.leases, name=NAME)
            parts = (self.relay, self.projector, self.consumer, self._identity, self.sweeper, retention)
            running = [asyncio.create_task(loop) for loop in [*(part.run() for part in parts), horizon.follow()]]
            try:
                yield
            finally:
                await finish(running, within_s=0)

    async def drain(self) -> None:
        """Take up no more messages and close no more windows; finish those in hand."""
        await asyncio.gather(self.consumer.drain(), self._identity.drain(), self.sweeper.drain())

    async def accepting(self) -> Sequence[Check]:
        """Return whether catalogs can be applied and shown."""
        return [
            _check("accounts", self._identity.caught_up, "Still reading identity's messages."),
            _check("views", self.projector.caught_up, "Still projecting stored events."),
            *await self.backend.checks(Part.DATABASE),
        ]

    async def checks(self) -> Sequence[Check]:
        """Return whether runs are routed."""
        return [
            _check("messages", self.consumer.caught_up, "Still working off ingress's messages."),
            *await self.backend.checks(Part.BUS, Part.PAYLOADS, Part.KEYS),
        ]

    def _compose_loops(self, backend: Backend, horizon: Horizon, catalogs: Catalogs) -> None:
        runs = Runs(backend.store, backend.payloads, catalogs)
        handlers = Handlers(runs, horizon, backend.bus.subscribe("ingress", NAME))
        self.sweeper = Sweeper(backend.views, backend.leases, name=NAME, fire=self._fire(handlers), now=horizon.now)
        horizon.notify(self.sweeper.nudge)
        self.consumer = Consumer(
            backend.bus,
            "ingress",
            NAME,
            {
                RunCompleted: handlers.run_completed,
                MessageReceived: handlers.message_received,
                Watermark: handlers.watermark,
            },
            clock=self._clock,
        )
        self._identity = Consumer(backend.bus, "identity", NAME, self._heeding.handlers(), clock=self._clock)
        self.projector = Projector(backend.store, backend.views, name=NAME, project=project, clock=self._clock)
        self.relay = Relay(
            backend.store,
            backend.bus,
            backend.views,
            backend.leases,
            topic=TOPIC,
            translate=translate,
            clock=self._clock,
        )

    def _fire(self, handlers: Handlers) -> Fire:
        """Return what to do about a stream that is due: a run, or a catalog that was changed."""

        async def fire(stream: str) -> bool:
            account_id = account_of(stream)
            if account_id is None:
                return await handlers.close_windows(stream)
            await self._heeding.settle(account_id)
            return True

        return fire

    def _compose_doors(self, backend: Backend, catalogs: Catalogs, heard: Heard, http: aiohttp.ClientSession) -> None:
        settings = self._settings
        own = service_tokens(settings.entra, settings.host.data_dir, service=NAME, roles=[TOKENS_INSTALLATION])
        tokens = IdentityClient(http, settings.identity_url, own)
        known, github = (
            KnownNames(backend.views, catalogs, heard),
            InstalledNames(tokens, http, settings.github_api_url),
        )
        resolver = Resolver(known, github, catalogs, heard, default_sku=settings.default_sku)
        ownership = Ownership(known, github, Allowance(catalogs, heard, default_sku=settings.default_sku))
        self.doors = Doors(
            applier=Applier(backend.store, catalogs, resolver, self.projector, self._heeding, ownership=ownership),
            catalogs=catalogs,
            store=backend.store,
            views=backend.views,
            operated=Operated(
                store=backend.store,
                bus=backend.bus,
                views=backend.views,
                relay=self.relay,
                consumers={"ingress/router": self.consumer, "identity/router": self._identity},
                projectors={NAME: self.projector},
            ),
        )


def build_service(settings: RouterSettings, *, clock: Clock = utc_now) -> Service:
    """Return the router, ready to be hosted."""
    router = _Router(settings, clock)
    return Service(
        name=NAME,
        routes=routes(lambda: router.doors),
        lifespan=router.lifespan,
        drain=router.drain,
        accepting=router.accepting,
        checks=router.checks,
        store=lambda: router.backend.store,
    )


def _check(name: str, caught_up: asyncio.Event, otherwise: str) -> Check:
    ok = caught_up.is_set()
    return Check(name=name, ok=ok, detail="" if ok else otherwise)
