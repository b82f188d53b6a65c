"""A loopback port that can be closed and opened again, and that nobody else gets in between."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable

from zekt_sandbox.servicebus.errors import NotLoopbackError

_BACKLOG = 1024


class Listener:
    """Accepts connections between `open` and `close`; otherwise the machine refuses them.

    Making one raises `NotLoopbackError` for a host that others could reach, and `OSError` for a port that is taken.
    """

    def __init__(
        self, host: str, port: int, accept: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None
    ) -> None:
        if not _is_loopback(host):
            raise NotLoopbackError(f"the Service Bus stand-in listens on loopback only, not on {host!r}")
        self._host = host
        self._accept = accept
        self._tls = tls
        _bound(host, port, shared=False).close()  # a port of another process is not to be shared
        self._reservation = _bound(host, port, shared=True)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port, which stays the same."""
        return int(self._reservation.getsockname()[1])

    async def open(self) -> None:
        """Accept connections."""
        if self._server is None:
            listening = _bound(self._host, self.port, shared=True)
            self._server = await asyncio.get_running_loop().create_server(
                self._accept, sock=listening, ssl=self._tls, backlog=_BACKLOG
            )

    def close(self) -> None:
        """Refuse connections; those that were accepted stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def release(self) -> None:
        """Refuse connections and give the port up."""
        self.close()
        self._reservation.close()


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket bound to the port, beside others of ours if `shared`: bound and not listening, it holds the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
