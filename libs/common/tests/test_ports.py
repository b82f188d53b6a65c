"""A port that was chosen for a server stays that server's."""

import asyncio
import errno
import os
import socket
import struct
import sys

import pytest

from zekt_common.kit.ports import held_port

IP_LOCAL_PORT_RANGE = 51  # <linux/in.h>; the socket module does not name it
IN_USE = os.strerror(errno.EADDRINUSE)
NONE_LEFT = os.strerror(errno.EADDRNOTAVAIL)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server listen on a held port")


async def test_a_server_listens_on_a_held_port_again_and_again() -> None:
    with held_port() as port:
        for _ in range(3):
            server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            server.close()
            await server.wait_closed()


def test_two_servers_do_not_share_it() -> None:
    with held_port() as port, socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match=IN_USE):
        socket.create_server(("127.0.0.1", port))


def test_the_system_gives_it_to_no_other_server_and_to_no_client() -> None:
    with held_port() as port, socket.create_server(("127.0.0.1", 0)) as server:
        with _restricted_to(port) as other, pytest.raises(OSError, match=IN_USE):
            other.bind(("127.0.0.1", 0))
        with _restricted_to(port) as client, pytest.raises(OSError, match=NONE_LEFT):
            client.connect(server.getsockname())


def test_once_let_go_it_is_free() -> None:
    with held_port() as port:
        pass
    with socket.socket() as anybody:
        anybody.bind(("127.0.0.1", port))


def test_ipv6() -> None:
    with held_port("::1") as port, socket.create_server(("::1", port), family=socket.AF_INET6):
        assert port > 0


def _restricted_to(port: int) -> socket.socket:
    """Return a socket to which the system may give this port only."""
    restricted = socket.socket()
    try:
        restricted.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port))
    except OSError as error:
        restricted.close()
        if error.errno == errno.ENOPROTOOPT:
            pytest.skip("a socket's range of ports needs Linux 6.3")
        raise
    return restricted
