"""Where a request comes from, as far as it may be remembered: the network, never the address."""

import ipaddress
from functools import lru_cache
from typing import Final

from aiohttp import web

_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 48
UNKNOWN: Final = "unknown"


def origin_of(request: web.Request) -> str:
    """Return the network of the request's peer, such as `203.0.113.0/24`."""
    return _network_of(request.remote or "")


@lru_cache(maxsize=1024)
def _network_of(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return UNKNOWN
    mapped = getattr(address, "ipv4_mapped", None) or address
    prefix = _IPV4_PREFIX if mapped.version == 4 else _IPV6_PREFIX  # noqa: PLR2004 - IP's own number
    return str(ipaddress.ip_network((mapped, prefix), strict=False))
