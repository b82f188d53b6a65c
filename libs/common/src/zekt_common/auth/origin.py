"""Where a request comes from: its peer, or whom a trusted proxy saw. Only the network of it may be remembered."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiohttp import web

from zekt_common.kit.settings import Network

TRUSTED_PROXIES: Final = web.AppKey("TRUSTED_PROXIES", tuple[Network, ...])
"""The networks whose word about a caller's address counts; an application without it trusts none."""
_FORWARDED: Final = "X-Forwarded-For"
_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 48
UNKNOWN: Final = "unknown"


def origin_of(request: web.Request) -> str:
    """Return the network of the caller's address, such as `203.0.113.0/24`."""
    return network_of(address_of(request))


def address_of(request: web.Request) -> str:
    """Return the caller's address: the peer's or, as long as that is a trusted proxy's, the one that it names.

    It is for limits and for the audit alone. What only this machine may do goes by the peer, whatever is forwarded.
    """
    peer, trusted = request.remote or "", request.app.get(TRUSTED_PROXIES, ())
    if not trusted:
        return peer
    forwarded = ",".join(request.headers.getall(_FORWARDED, ()))
    return _nearest_untrusted([*filter(str.strip, forwarded.split(",")), peer], trusted)


def _nearest_untrusted(hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the last hop that is no trusted proxy, the first one where all are, nothing where one is no address."""
    address = None
    for hop in reversed(hops):
        address = _address_of(hop)
        if address is None or not any(address in network for network in trusted):
            break
    return "" if address is None else str(address)


def _address_of(hop: str) -> IPv4Address | IPv6Address | None:
    """Return the hop's address, which some proxies write with a port."""
    bare = hop.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=1024)
def network_of(address: str, *, ipv6_prefix: int = _IPV6_PREFIX) -> str:
    """Return the network of an address, a /24 of IPv4, or `unknown` if it is none."""
    parsed = _address_of(address)
    if parsed is None:
        return UNKNOWN
    prefix = _IPV4_PREFIX if parsed.version == 4 else ipv6_prefix  # noqa: PLR2004 - IP's own number
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
