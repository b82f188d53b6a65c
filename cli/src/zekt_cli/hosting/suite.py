"""The four services in one process, with settings from one environment."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import uvloop

from zekt_cli.hosting.services import BUILDERS
from zekt_common.errors import SettingsError
from zekt_common.kit.host import host
from zekt_common.kit.service import Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_common.telemetry.exporters import configure_telemetry
from zekt_common.telemetry.logging import configure_logging

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class SuiteUrls:
    """Where the suite's two ports answer on this machine."""

    public: str
    internal: str


def read_host(env: Mapping[str, str]) -> HostSettings:
    """Return where to listen and keep data.

    Raises:
        SettingsError: it names every unusable variable.
    """
    reader = EnvironmentReader(env)
    settings = HostSettings.read(reader)
    reader.check()
    return settings


def with_ports(env: Mapping[str, str], settings: HostSettings) -> dict[str, str]:
    """Return the environment with free ports in place of 0: the services must know each other's before they start."""
    chosen = {"ZEKT_PORT": settings.port, "ZEKT_INTERNAL_PORT": settings.internal_port}
    return {**env, **{name: str(port or _free_port(settings.host)) for name, port in chosen.items()}}


def urls(settings: HostSettings) -> SuiteUrls:
    """Return the URLs of both ports."""
    name = _WILDCARDS.get(settings.host, settings.host)
    shown = f"[{name}]" if ":" in name else name
    return SuiteUrls(f"http://{shown}:{settings.port}", f"http://{shown}:{settings.internal_port}")


def build(env: Mapping[str, str]) -> Sequence[Service]:
    """Return the four services.

    Raises:
        SettingsError: it names every missing or unusable variable of all services at once.
    """
    services: list[Service] = []
    problems: dict[str, None] = {}
    for builder in BUILDERS:
        try:
            services.append(builder(env))
        except SettingsError as error:
            problems.update(dict.fromkeys(str(error).split("; ")))
    if problems:
        raise SettingsError("; ".join(problems))
    return services


def run(
    services: Sequence[Service],
    settings: HostSettings,
    *,
    on_ready: Callable[[str, str], None],
    env: Mapping[str, str] = os.environ,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain.

    Raises:
        ZektError: a port is taken, or the data directory cannot be used.
    """
    configure_logging(settings.log_format, "zekt")
    stop_telemetry = configure_telemetry("zekt", env)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(host(services, settings, on_ready=on_ready))
    finally:
        stop_telemetry()


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
