"""How often somebody who is not known yet may have GitHub asked: counted by network, since addresses are cheap."""

import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from aiohttp import web

from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit

_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 64
_LONGEST_ADDRESS: Final = 64


class SignInLimit:
    """Lets `per_s` of each network pass a second, and up to `burst` at once."""

    def __init__(self, *, per_s: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = RateLimit(per_s=per_s, burst=burst, monotonic=monotonic)

    def check(self, request: web.Request) -> None:
        """Count the request.

        Raises:
            Refusal: 429, there were too many from its network.
        """
        check_rate(self._limit, network_of(address_of(request)))


def check_rate(limit: RateLimit, key: str) -> None:
    """Take one from the key's bucket.

    Raises:
        Refusal: 429 with Retry-After, there is none.
    """
    wait_s = limit.wait_s(key)
    if wait_s:
        detail = f"Too many sign-ins are under way. Try again in {wait_s} s."
        raise Refusal(429, "too_many_sign_ins", detail, headers={"Retry-After": str(wait_s)})


def address_of(request: web.Request) -> str:
    """Return whom the nearest proxy has seen, if there is one."""
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return forwarded[:_LONGEST_ADDRESS] or request.remote or ""


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return what one caller can be expected to have all of: the /24 of IPv4, the /64 of IPv6; else what was given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    prefix = _IPV4_PREFIX if mapped.version == 4 else _IPV6_PREFIX  # noqa: PLR2004 - IP's own number
    return str(ipaddress.ip_network((mapped, prefix), strict=False))
