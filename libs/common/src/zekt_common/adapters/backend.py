"""What an engine gives a service: each port once, whatever stands behind it."""

from dataclasses import dataclass

from zekt_common.ports import Bus, EventStore, Keys, Leases, Payloads, Views


@dataclass(frozen=True)
class Backend:
    """The ports of one service, whichever engine stands behind them."""

    store: EventStore
    views: Views
    bus: Bus
    payloads: Payloads
    keys: Keys
    leases: Leases
