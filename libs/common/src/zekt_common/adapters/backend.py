"""What an engine gives a service: each port once, whatever stands behind it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from zekt_common.kit.service import Check
from zekt_common.ports import Bus, EventStore, Expiring, Keys, Leases, Payloads, Views

Troubles = Callable[[], Awaitable[Sequence[str]]]
"""Says, a sentence each, what cannot be used right now."""


class Part(StrEnum):
    """What an engine is made of, and what can be away alone."""

    DATABASE = "database"
    BUS = "bus"
    PAYLOADS = "payloads"
    KEYS = "keys"


Share = Literal["all", "relay", "without relay"]
"""What of a service a process runs: ingress's relay may have one of its own."""


async def no_troubles() -> Sequence[str]:
    """Find nothing wrong: what lies on this machine is there or fails with the request that needs it."""
    return ()


@dataclass(frozen=True)
class Backend:
    """The ports of one service, whichever engine stands behind them.

    `troubles` are those of each part of the engine that can have any; `expiring` is what deletes nothing that has
    expired unless it is told to, by name.
    """

    store: EventStore
    views: Views
    bus: Bus
    payloads: Payloads
    keys: Keys
    leases: Leases
    troubles: Mapping[Part, Troubles] = field(default_factory=dict)
    expiring: Mapping[str, Expiring] = field(default_factory=dict)

    async def checks(self, *parts: Part) -> Sequence[Check]:
        """Return a readiness check for each of these parts; no other is asked, so none is waited for."""
        return await asyncio.gather(*(self._check(part) for part in parts))

    async def _check(self, part: Part) -> Check:
        troubles = await self.troubles.get(part, no_troubles)()
        return Check(name=part, ok=not troubles, detail="; ".join(troubles))
