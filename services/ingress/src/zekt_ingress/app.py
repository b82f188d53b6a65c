"""Ingress's composition: the one place that names what its ports are made of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from zekt_common.adapters.backend import Backend, Part, Share
from zekt_common.adapters.configured_backend import open_configured_backend
from zekt_common.auth.actions_oidc import ActionsTokenVerifier
from zekt_common.clock import Clock, utc_now
from zekt_common.errors import StorageUnusable
from zekt_common.kit.consumer import Consumer
from zekt_common.kit.operations import Operated
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.relay import Relay
from zekt_common.kit.retention import Retention
from zekt_common.kit.service import Check, Service
from zekt_common.kit.supervision import finish
from zekt_common.ports import Put, Views
from zekt_common.stored_schemas import versions_of
from zekt_ingress.admission import Admission
from zekt_ingress.catalog_view import CatalogView
from zekt_ingress.handlers import handlers
from zekt_ingress.http import Doors, routes
from zekt_ingress.message import MESSAGE_SCHEMAS
from zekt_ingress.message_door import MessageDoor
from zekt_ingress.relaying import build_relay, run_elsewhere
from zekt_ingress.settings import IngressSettings
from zekt_ingress.signatures import WebhookVerifier
from zekt_ingress.wait_door import WaitDoor
from zekt_ingress.webhook import WEBHOOK_SCHEMAS
from zekt_ingress.webhook_door import WebhookDoor

NAME: Final = "ingress"
READ: Final = versions_of([*WEBHOOK_SCHEMAS, *MESSAGE_SCHEMAS])
"""The events that it stores and reads."""


class _Ingress:
    """What exists while the service runs."""

    doors: Doors
    backend: Backend
    consumer: Consumer

    def __init__(self, settings: IngressSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        share: Share = "without relay" if self._settings.own_relay else "all"
        async with (
            open_configured_backend(self._settings, NAME, clock=self._clock, read=READ, share=share) as backend,
            aiohttp.ClientSession() as http,
        ):
            relay = self._compose(backend, http)
            relaying = run_elsewhere(self._settings.host) if self._settings.own_relay else relay.run()
            retention = Retention(backend.expiring, backend.leases, name=NAME)
            loops = [self.consumer.run(), relaying, retention.run()]
            running = [asyncio.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                await finish(running, within_s=0)

    async def drain(self) -> None:
        """Stop taking catalog changes; what was stored and not published yet is published after the next start."""
        await self.consumer.drain()

    async def accepting(self) -> Sequence[Check]:
        """Return whether what comes in can be stored, and whether it is known from whom messages are taken."""
        caught_up = self.consumer.caught_up.is_set()
        return [
            Check(name="catalog", ok=caught_up, detail="" if caught_up else "Still reading the router's messages."),
            *await self.backend.checks(Part.DATABASE, Part.PAYLOADS, Part.KEYS),
            await _store_check(self.backend.views),
        ]

    async def checks(self) -> Sequence[Check]:
        """Return whether the others hear of it: without the bus it is stored, and published when the bus is back."""
        return await self.backend.checks(Part.BUS)

    def _compose(self, backend: Backend, http: aiohttp.ClientSession) -> Relay:
        settings, view = self._settings, CatalogView(backend.views)
        self.backend = backend
        self.consumer = Consumer(backend.bus, "router", NAME, handlers(view), clock=self._clock)
        relay = build_relay(backend, clock=self._clock)
        tokens = ActionsTokenVerifier(
            http, issuer=settings.oidc_issuer, audience=settings.oidc_audience, clock=self._clock
        )
        admission = Admission(
            view,
            caught_up=self.consumer.caught_up.is_set,
            rate_limit=RateLimit(per_s=settings.messages_per_s, burst=settings.message_burst),
        )
        self.doors = Doors(
            webhooks=WebhookDoor(_webhook_verifier(settings), backend.store, backend.payloads),
            messages=MessageDoor(tokens, admission, view, backend.store, backend.payloads),
            waiting=WaitDoor(view.seen),
            operated=Operated(
                store=backend.store,
                bus=backend.bus,
                views=backend.views,
                relay=relay,
                consumers={"router/ingress": self.consumer},
            ),
        )
        return relay


def build_service(settings: IngressSettings, *, clock: Clock = utc_now) -> Service:
    """Return ingress, ready to be hosted."""
    ingress = _Ingress(settings, clock)
    return Service(
        name=NAME,
        routes=routes(lambda: ingress.doors),
        lifespan=ingress.lifespan,
        drain=ingress.drain,
        accepting=ingress.accepting,
        checks=ingress.checks,
        store=lambda: ingress.backend.store,
    )


def _webhook_verifier(settings: IngressSettings) -> WebhookVerifier:
    return WebhookVerifier(
        app_id=settings.app_id, app_secrets=settings.webhook_secrets, master_keys=settings.webhook_master_keys
    )


async def _store_check(views: Views) -> Check:
    """Write to the file that webhooks are written to."""
    try:
        await views.write([Put(partition="readiness", id="probe", body=b"{}")])
    except StorageUnusable:
        return Check(name="store", ok=False, detail="Nothing can be stored: see the log.")
    return Check(name="store", ok=True)
