"""Ingress's relay, and `python -m zekt_ingress.relaying DATA_DIR LOG_FORMAT`: the relay as a process of its own.

A process that is flooded with webhooks has no time to spare for telling others of them.
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import uvloop

from zekt_common.adapters.backend import Backend
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.adapters.configured_backend import open_configured_backend
from zekt_common.clock import Clock, utc_now
from zekt_common.errors import ZektError
from zekt_common.kit.relay import Relay
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_common.kit.supervision import finish, supervise
from zekt_common.telemetry.exporters import configure_telemetry
from zekt_common.telemetry.logging import configure_logging
from zekt_ingress.translate import translate, watermark

TOPIC: Final = "ingress"
ENDS_WITHIN_S: Final = 3.0


class RelayProcessEnded(ZektError):
    """The relay's process has ended although nobody asked it to."""


def build_relay(backend: Backend, *, clock: Clock = utc_now) -> Relay:
    """Return the relay of ingress's store."""
    return Relay(
        backend.store,
        backend.bus,
        backend.views,
        backend.leases,
        topic=TOPIC,
        translate=translate,
        watermark=watermark,
        clock=clock,
    )


async def run_elsewhere(settings: HostSettings) -> None:
    """Keep a relay process running until cancelled; it ends with this process, however that ends."""
    await supervise("relay/ingress process", lambda: _run_once(settings))


async def _run_once(settings: HostSettings) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        str(settings.data_dir),
        settings.log_format,
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is for its parent
    )
    try:
        code = await process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN_S):
                await process.wait()
    raise RelayProcessEnded(f"the relay's process ended with exit code {code}")


@dataclass(frozen=True)
class RelaySettings:
    """Where the stored events are."""

    host: HostSettings
    backend: BackendSettings


async def relay_until_told(settings: RelaySettings) -> None:
    """Relay until SIGTERM, or until the pipe from the parent is closed."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    await loop.connect_read_pipe(lambda: _UntilClosed(told), sys.stdin)
    async with open_configured_backend(settings, TOPIC, share="relay") as backend:
        relaying = asyncio.create_task(build_relay(backend).run())
        await told.wait()
        await finish([relaying], within_s=0)


class _UntilClosed(asyncio.Protocol):
    def __init__(self, told: asyncio.Event) -> None:
        self._told = told

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._told.set()


def main() -> None:
    """Be the relay process."""
    data_dir, log_format = sys.argv[1:]
    configure_logging(cast("Literal['console', 'json']", log_format), "ingress-relay")
    stop_telemetry = configure_telemetry("zekt-ingress-relay")
    try:
        backend = BackendSettings.read(EnvironmentReader(os.environ))  # checked by the parent, which has the same
        uvloop.run(relay_until_told(RelaySettings(HostSettings(data_dir=Path(data_dir)), backend)))
    finally:
        stop_telemetry()


if __name__ == "__main__":
    main()
