"""The host: one process that serves one service or several on a public and an internal port, and ends in good order."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, Protocol, TypeVar

import structlog
import uvloop
from aiohttp import web

from zekt_common.auth.authorisation import Authorisation
from zekt_common.auth.authorisation_guard import Guard
from zekt_common.auth.authorisation_log import MACHINES_REFUSALS_PER_MINUTE, AuthorisationLog
from zekt_common.auth.authorisation_setup import open_authorisation
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.errors import SettingsError, ZektError
from zekt_common.kit.endpoint import RETRY_SOON, routed
from zekt_common.kit.errors import Refusal
from zekt_common.kit.health import Health, Readiness
from zekt_common.kit.life import Life, Phase
from zekt_common.kit.service import Route, Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_common.telemetry.exporters import configure_telemetry
from zekt_common.telemetry.logging import configure_logging

HEARD_OUT_S: Final = 0.1
REQUESTS_END_WITHIN_S: Final = 3.0
DRAINED_WITHIN_S: Final = 5.0
CLOSED_WITHIN_S: Final = 2.0
READY_POLL_S: Final = 0.05
BACKLOG: Final = 1024

log = structlog.get_logger()


class CannotListen(ZektError):
    """A port is taken or may not be used; the message names the setting."""


class Hosted:
    """A running host: where it listens, and whether it is ready."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.life = Life()
        self.url = ""
        self.internal_url = ""
        self._services = services
        self._health = Health(services, lambda: self.life.phase)
        self._runners: list[web.AppRunner] = []
        self.authorisation: Authorisation | None = None

    async def readiness(self) -> Readiness:
        """Return what `/ready` answers."""
        return await self._health.readiness()

    async def acceptance(self) -> Readiness:
        """Return what `/accepting` answers."""
        return await self._health.acceptance()

    async def until_ready(self) -> None:
        """Wait until every check of every service is ok."""
        while (await self.readiness()).status != "ready":  # noqa: ASYNC110 - checks are asked, they do not announce
            await asyncio.sleep(READY_POLL_S)

    async def listen(self, settings: HostSettings) -> None:
        """Open both ports; requests wait for the start to be over, and are refused as `starting` where it takes long.

        Raises:
            CannotListen: a port is taken or forbidden.
        """
        for internal in (False, True):
            guarded = [route for service in self._services for route in _guarded(service, self._authorised)]
            routes = [route for route in guarded if route.internal == internal]
            probes = self._health.routes(internal=internal)
            proxies = () if internal else settings.trusted_proxies
            app = routed(routes, self.life, probes=probes, trusted_proxies=proxies)
            runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=REQUESTS_END_WITHIN_S)
            self._runners.append(runner)
            await runner.setup()
            port, name = (settings.internal_port, "ZEKT_INTERNAL_PORT") if internal else (settings.port, "ZEKT_PORT")
            url = await _open(runner, settings.host, port, name)
            self.url, self.internal_url = (self.url, url) if internal else (url, "")

    def _authorised(self) -> Authorisation:
        if self.authorisation is None:
            raise Refusal(503, "starting", "The service is starting. Try again shortly.", headers=RETRY_SOON)
        return self.authorisation

    async def wind_down(self) -> None:
        """Take no more connections, answer those that are there, and drain every service, all within bounds."""
        self.life.enter(Phase.STOPPING)
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        drains = [_within(DRAINED_WITHIN_S, service.drain(), service.name) for service in self._services]
        await asyncio.gather(self._hear_out(), *drains)

    async def _hear_out(self) -> None:
        """Close when the requests of connections just taken had time to arrive: closing drops who said nothing yet."""
        await asyncio.sleep(HEARD_OUT_S)
        await self.close()

    async def close(self) -> None:
        """Close both ports once the requests under way have ended, or their time is up."""
        self.life.fail_to_start()
        runners, self._runners = self._runners, []
        await asyncio.gather(*(runner.cleanup() for runner in runners))


@asynccontextmanager
async def serving(
    services: Sequence[Service], settings: HostSettings, *, entra: EntraTenant | None = None
) -> AsyncIterator[Hosted]:
    """Serve until the block ends; then stop listening, drain, and close what the services opened.

    `entra` is the tenant whose app role makes operators.

    Raises:
        CannotListen: a port is taken or forbidden.
        StorageUnusable: the data directory cannot be used.
    """
    ensure_operator_token(settings.data_dir)
    hosted = Hosted(services)
    resources = AsyncExitStack()
    try:
        await hosted.listen(settings)
        opening = open_authorisation(settings, url=hosted.url, internal_url=hosted.internal_url, entra=entra)
        hosted.authorisation = await resources.enter_async_context(opening)
        for service in services:
            await resources.enter_async_context(service.lifespan())
        hosted.life.enter(Phase.RUNNING)
        yield hosted
    finally:
        await (hosted.wind_down() if hosted.life.phase is Phase.RUNNING else hosted.close())
        await _within(CLOSED_WITHIN_S, resources.aclose(), "resources")


async def host(
    services: Sequence[Service],
    settings: HostSettings,
    *,
    on_ready: Callable[[str, str], None] | None = None,
    stop: asyncio.Event | None = None,
    entra: EntraTenant | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, and be gone within 10 s of it; a second signal ends at once.

    `on_ready` is told the public and the internal URL when `/ready` first answers 200.

    Raises:
        CannotListen: a port is taken or forbidden.
        StorageUnusable: the data directory cannot be used.
    """
    stopping = stop or asyncio.Event()
    with _signals_set(stopping):
        async with serving(services, settings, entra=entra) as hosted:
            announcing = asyncio.create_task(_announce(hosted, on_ready))
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({announcing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if announcing.done():
                announcing.result()
            await stopped
            announcing.cancel()
        log.info("host_stopped")


class ServiceSettings(Protocol):
    """What `run` needs of a service's settings."""

    @property
    def host(self) -> HostSettings:
        """Where to listen, keep data and how to log."""
        ...


Settings = TypeVar("Settings", bound=ServiceSettings)


def run(
    read_settings: Callable[[Mapping[str, str]], Settings],
    build_service: Callable[[Settings], Service],
    env: Mapping[str, str] = os.environ,
) -> int:
    """Host one service as this process and return its exit code: 0 stopped, 1 cannot run, 2 settings are wrong."""
    try:
        settings = read_settings(env)
        service = build_service(settings)
        entra = operators_tenant(env)
        configure_logging(settings.host.log_format, service.name)
        stop_telemetry = configure_telemetry(f"zekt-{service.name}", env)
    except ZektError as error:
        return _given_up(error)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(host([service], settings.host, on_ready=_say_ready(service.name), entra=entra))
    except ZektError as error:
        return _given_up(error)
    finally:
        stop_telemetry()
    return 0


def operators_tenant(env: Mapping[str, str]) -> EntraTenant | None:
    """Return the tenant of Entra ID whose app role makes operators, None when none is set.

    Raises:
        SettingsError: it names every variable that is missing or unusable.
    """
    reader = EnvironmentReader(env)
    tenant = EntraTenant.read(reader)
    reader.check()
    return tenant


def _given_up(error: ZektError) -> int:
    sys.stderr.write(f"zekt: {error}\n")
    return 2 if isinstance(error, SettingsError) else 1


def _say_ready(name: str) -> Callable[[str, str], None]:
    def say(url: str, internal_url: str) -> None:
        sys.stdout.write(f"{name} is ready at {url} (internal {internal_url})\n")
        sys.stdout.flush()

    return say


async def _announce(hosted: Hosted, on_ready: Callable[[str, str], None] | None) -> None:
    await hosted.until_ready()
    log.info("host_ready", url=hosted.url, internal_url=hosted.internal_url)
    if on_ready is not None:
        on_ready(hosted.url, hosted.internal_url)


async def _open(runner: web.AppRunner, address: str, port: int, setting: str) -> str:
    try:
        await web.TCPSite(runner, address, port, backlog=BACKLOG).start()
    except OSError as error:
        reason = "it is taken" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or errno.EINVAL)
        raise CannotListen(f"cannot listen on {address} port {port}: {reason}. {setting} sets another port") from error
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{runner.addresses[0][1]}"


def _guarded(service: Service, authorisation: Callable[[], Authorisation]) -> list[Route]:
    if service.store is None:
        guard = Guard(authorisation, None)
    else:
        machines_log = AuthorisationLog(service.name, service.store, refusals_per_minute=MACHINES_REFUSALS_PER_MINUTE)
        guard = Guard(authorisation, AuthorisationLog(service.name, service.store), machines_log)
    return [guard.before(route) for route in service.routes]


async def _within(seconds: float, work: Awaitable[None], name: str) -> None:
    """Wait for the work, not longer than `seconds`; what it raises is logged, since the way down goes on."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        log.warning("shutdown_cut_short", part=name, after_s=seconds)
    except Exception:  # shutting down must reach its end
        log.exception("shutdown_failed", part=name)


@contextmanager
def _signals_set(stop: asyncio.Event) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT set `stop`, and restore the signals' defaults for a second one."""
    loop = asyncio.get_running_loop()
    handled = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number in handled:
            loop.remove_signal_handler(number)

    with contextlib.suppress(ValueError, RuntimeError):  # signals belong to the main thread
        for number in handled:
            loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        restore()
