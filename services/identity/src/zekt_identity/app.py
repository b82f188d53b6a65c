"""Identity's composition: the one place that names what its ports are made of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from zekt_common.adapters.backend import Backend, Part
from zekt_common.adapters.configured_backend import open_configured_backend
from zekt_common.auth.service_access import open_verifier
from zekt_common.auth.service_verifier import ServiceTokenVerifier
from zekt_common.auth.sessions import SessionVerifier
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.ingress import AppWebhookReceived
from zekt_common.envelope import Event
from zekt_common.kit.consumer import Consumer, Handler
from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.projector import Projector
from zekt_common.kit.relay import Relay
from zekt_common.kit.retention import Retention
from zekt_common.kit.service import Check, Service
from zekt_common.kit.supervision import finish
from zekt_common.kit.sweeper import Sweeper
from zekt_common.stored_schemas import versions_of
from zekt_identity.account_http import AccountDesk, AccountDoor
from zekt_identity.account_terms import Sku
from zekt_identity.accounts import Accounts
from zekt_identity.app_view import AppView
from zekt_identity.app_webhooks import AppWebhooks
from zekt_identity.audited import audited
from zekt_identity.auditor import Auditor
from zekt_identity.auth_http import AuthDoor, SignInDesk
from zekt_identity.credentials import ASK_AGAIN_S, CredentialsWatch
from zekt_identity.device_http import DeviceDoor
from zekt_identity.device_sign_in import DeviceSignIn
from zekt_identity.github_app import GitHubApp
from zekt_identity.github_oauth import GitHubOAuth
from zekt_identity.github_person import GitHubAsPerson
from zekt_identity.hooks import Hooks
from zekt_identity.http import TokenDesk, TokenDoor
from zekt_identity.installations import Installations
from zekt_identity.key_ring import KeyRing
from zekt_identity.ledger import Ledger
from zekt_identity.person_repositories import PersonRepositories
from zekt_identity.projections import SCHEMAS, project
from zekt_identity.reconciliation import EVERY_S, Reconciliation
from zekt_identity.repositories_http import RepositoriesDesk, RepositoriesDoor
from zekt_identity.repository_access import RepositoryAccess
from zekt_identity.sealing import Sealer
from zekt_identity.sessions import Sessions
from zekt_identity.settings import IdentitySettings
from zekt_identity.setup_http import SetupDesk, SetupDoor
from zekt_identity.sign_in import SignIn
from zekt_identity.sku_http import SkuDoor
from zekt_identity.tokens import TokenCache
from zekt_identity.translate import TOPIC, translate
from zekt_identity.user_tokens import UserTokenVault

NAME: Final = "identity"
READ: Final = versions_of(SCHEMAS)
"""The events that it stores and reads."""


class _Identity:
    """What exists while the service runs."""

    tokens: TokenDesk
    signing_in: SignInDesk
    device: DeviceSignIn | None
    accounts: AccountDesk
    repositories: RepositoriesDesk
    setup: SetupDesk
    operated: Operated
    auditor: Auditor

    def __init__(
        self,
        settings: IdentitySettings,
        clock: Clock,
        *,
        ask_again_s: float,
        reconcile_after_s: float,
        reconcile_every_s: float,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ask_again_s = ask_again_s
        self._reconcile_after_s = reconcile_after_s
        self._reconcile_every_s = reconcile_every_s

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with (
            open_configured_backend(self._settings, NAME, clock=self._clock, read=READ) as backend,
            aiohttp.ClientSession() as http,
            open_verifier(self._settings.entra, self._settings.host.data_dir) as callers,
        ):
            self._backend = backend
            self._compose(backend, http, callers)
            parts = (
                self._watch,
                self._projector,
                self._sweeper,
                self._relay,
                self._consumer,
                self._reconciliation,
                self._retention,
            )
            running = [asyncio.create_task(part.run()) for part in parts]
            try:
                yield
            finally:
                await finish(running, within_s=0)

    async def drain(self) -> None:
        """Take up no more webhooks and erasures; look-ups under way end with their requests."""
        await asyncio.gather(self._consumer.drain(), self._sweeper.drain())

    async def accepting(self) -> Sequence[Check]:
        """Return whether people can sign in and services look tokens up."""
        caught_up = self._projector.caught_up.is_set()
        views = Check(name="views", ok=caught_up, detail="" if caught_up else "Still projecting stored events.")
        return [self._watch.check(), views, *await self._backend.checks(Part.DATABASE, Part.KEYS)]

    async def checks(self) -> Sequence[Check]:
        """Return whether it hears of the App's webhooks, and the others of what they change."""
        return await self._backend.checks(Part.BUS, Part.PAYLOADS)

    def _compose(self, backend: Backend, http: aiohttp.ClientSession, callers: ServiceTokenVerifier) -> None:
        self._projector = Projector(backend.store, backend.views, name=NAME, project=project, clock=self._clock)
        ledger, sealer = Ledger(backend.store, self._projector), Sealer(backend.keys)
        self.auditor = Auditor(ledger, clock=self._clock)
        accounts, vault = self._compose_people(backend, http, ledger, sealer)
        app = GitHubApp(
            http,
            api_url=self._settings.github_api_url,
            app_id=self._settings.app_id,
            private_key_pem=self._settings.private_key_pem,
        )
        installations = Installations(ledger, backend.views, AppView(app), clock=self._clock)
        self._watch = CredentialsWatch(app.check_credentials, again_s=self._ask_again_s)
        self.tokens = TokenDesk(
            callers=callers,
            tokens=TokenCache(app.issue),
            vault=vault,
            installations=installations,
            auditor=self.auditor,
        )
        self._compose_acting(GitHubAsPerson(http, vault, self.auditor, api_url=self._settings.github_api_url), ledger)
        self._compose_loops(backend, installations, accounts)

    def _compose_acting(self, github: GitHubAsPerson, ledger: Ledger) -> None:
        keys, verifier = self._settings.webhook_master_keys, self.accounts.verifier
        repositories, access = PersonRepositories(github), RepositoryAccess(github, ledger)
        newest = keys[max(keys)] if keys else None
        self.repositories = RepositoriesDesk(
            verifier=verifier,
            repositories=repositories,
            access=access,
            hooks=Hooks(github, public_url=self._settings.public_url, master_key=newest) if newest else None,
        )
        self.setup = SetupDesk(
            verifier=verifier,
            repositories=repositories,
            access=access,
            installations=self.tokens.installations,
            is_sign_in_on=self._settings.oauth is not None,
        )

    def _compose_loops(self, backend: Backend, installations: Installations, accounts: Accounts) -> None:
        webhooks = AppWebhooks(backend.payloads, installations, accounts)
        handlers: dict[type[Event], Handler] = {AppWebhookReceived: webhooks.received}
        self._consumer = Consumer(backend.bus, "ingress", NAME, handlers, clock=self._clock)
        self._relay = Relay(
            backend.store,
            backend.bus,
            backend.views,
            backend.leases,
            topic=TOPIC,
            translate=translate,
            clock=self._clock,
        )
        self._sweeper = Sweeper(backend.views, backend.leases, name=NAME, fire=accounts.erase, now=self._clock)
        self._retention = Retention(backend.expiring, backend.leases, name=NAME)
        self._reconciliation = Reconciliation(
            installations.reconcile,
            backend.leases,
            first_after_s=self._reconcile_after_s,
            every_s=self._reconcile_every_s,
        )
        self.operated = Operated(
            store=backend.store,
            bus=backend.bus,
            views=backend.views,
            relay=self._relay,
            consumers={"ingress/identity": self._consumer},
            projectors={NAME: self._projector},
        )

    def _compose_people(
        self, backend: Backend, http: aiohttp.ClientSession, ledger: Ledger, sealer: Sealer
    ) -> tuple[Accounts, UserTokenVault]:
        settings, clock, client = self._settings, self._clock, self._settings.oauth
        oauth = GitHubOAuth(
            http,
            web_url=settings.github_url,
            api_url=settings.github_api_url,
            client_id=client.client_id if client else "",
            client_secret=client.client_secret if client else "",
            clock=clock,
        )
        vault = UserTokenVault(backend.views, sealer, oauth, clock=clock)
        ring = KeyRing(backend.views, sealer)
        sessions = Sessions(ledger, backend.views, ring, public_url=settings.public_url, clock=clock)
        verifier = SessionVerifier(sessions, public_url=settings.public_url, clock=clock)
        accounts = Accounts(ledger, sealer, vault, oauth, default_sku=Sku(settings.default_sku))
        sign_in = SignIn(oauth, accounts, vault, sessions, sealer, public_url=settings.public_url, clock=clock)
        self.signing_in = SignInDesk(sign_in=sign_in if client else None, sessions=sessions, verifier=verifier)
        self.device = DeviceSignIn(oauth, sign_in, sealer, clock=clock) if client else None
        self.accounts = AccountDesk(
            accounts=accounts, sessions=sessions, verifier=verifier, views=backend.views, clock=clock
        )
        return accounts, vault


def build_service(
    settings: IdentitySettings,
    *,
    clock: Clock = utc_now,
    ask_again_s: float = ASK_AGAIN_S,
    reconcile_after_s: float = 0.0,
    reconcile_every_s: float = EVERY_S,
) -> Service:
    """Return identity, ready to be hosted."""
    identity = _Identity(
        settings,
        clock,
        ask_again_s=ask_again_s,
        reconcile_after_s=reconcile_after_s,
        reconcile_every_s=reconcile_every_s,
    )
    routes = [
        *TokenDoor(lambda: identity.tokens).routes(),
        *AuthDoor(lambda: identity.signing_in).routes(),
        *DeviceDoor(lambda: identity.device).routes(),
        *AccountDoor(lambda: identity.accounts).routes(),
        *RepositoriesDoor(lambda: identity.repositories).routes(),
        *SetupDoor(lambda: identity.setup).routes(),
    ]
    operators = [*SkuDoor(lambda: identity.accounts).routes(), *operations_routes(NAME, lambda: identity.operated)]
    return Service(
        name=NAME,
        routes=[*audited(routes, lambda: identity.auditor), *operators],
        lifespan=identity.lifespan,
        drain=identity.drain,
        accepting=identity.accepting,
        checks=identity.checks,
        store=lambda: identity.operated.store,
    )
