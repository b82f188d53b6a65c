"""The four services in one process, with settings from one environment."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

import uvloop

from zekt_cli.hosting.services import BUILDERS
from zekt_common.errors import SettingsError
from zekt_common.kit.host import host, operators_tenant
from zekt_common.kit.service import Service
from zekt_common.kit.settings import HostSettings
from zekt_common.telemetry.exporters import configure_telemetry
from zekt_common.telemetry.logging import configure_logging


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
            runner.run(host(services, settings, on_ready=on_ready, entra=operators_tenant(env)))
    finally:
        stop_telemetry()
