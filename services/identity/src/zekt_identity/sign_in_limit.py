"""How often somebody who is not known yet may have GitHub asked: counted by network, since addresses are cheap."""

import time
from collections.abc import Callable, Hashable
from typing import Final

from aiohttp import web

from zekt_common.auth.origin import address_of, network_of
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit

_IPV6_PREFIX: Final = 64
"""What one caller can be expected to have all of."""


class SignInLimit:
    """Lets `per_s` of each network pass a second, and up to `burst` at once."""

    def __init__(self, *, per_s: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = RateLimit(per_s=per_s, burst=burst, monotonic=monotonic)

    def check(self, request: web.Request) -> None:
        """Count the request.

        Raises:
            Refusal: 429, there were too many from its network.
        """
        check_rate(self._limit, network_of(address_of(request), ipv6_prefix=_IPV6_PREFIX))


def check_rate(limit: RateLimit, key: Hashable) -> None:
    """Take one from the key's bucket.

    Raises:
        Refusal: 429 with Retry-After, there is none.
    """
    wait_s = limit.wait_s(key)
    if wait_s:
        detail = f"Too many sign-ins are under way. Try again in {wait_s} s."
        raise Refusal(429, "too_many_sign_ins", detail, headers={"Retry-After": str(wait_s)})
