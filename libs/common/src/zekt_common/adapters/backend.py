"""What an engine gives a service: each port once, whatever stands behind it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zekt_common.kit.service import Check
from zekt_common.ports import Bus, EventStore, Expiring, Keys, Leases, Payloads, Views


async def no_troubles() -> Sequence[str]:
    """Find nothing wrong: what lies on this machine is there or fails with the request that needs it."""
    return ()


@dataclass(frozen=True)
class Backend:
    """The ports of one service, whichever engine stands behind them.

    `troubles` says, a sentence each, what of the engine cannot be used right now; `expiring` is what deletes nothing
    that has expired unless it is told to, by name.
    """

    store: EventStore
    views: Views
    bus: Bus
    payloads: Payloads
    keys: Keys
    leases: Leases
    troubles: Callable[[], Awaitable[Sequence[str]]] = no_troubles
    expiring: Mapping[str, Expiring] = field(default_factory=dict)

    async def check(self) -> Check:
        """Return the readiness check that services show."""
        troubles = await self.troubles()
        return Check(name="backend", ok=not troubles, detail="; ".join(troubles))
