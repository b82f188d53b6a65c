"""Ports chosen before anything listens on them."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Choose a free port, and keep the system from giving it to anybody else until the block ends.

    A server that reuses addresses, as asyncio's do, may listen on it meanwhile, as often as it likes: on Linux, which
    lets it share a port with a socket that is bound and does not listen. Elsewhere the port is only chosen.

    Raises:
        OSError: the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port
