"""A running account and its controls as methods."""

from collections import Counter
from typing import Any

from zekt_sandbox.cosmos.calls import Operation
from zekt_sandbox.cosmos.gateway import Gateway


class CosmosSandbox:
    """A running account at `url`; `faults` are its switches and `clock` decides what has expired."""

    def __init__(self, url: str, key: str, gateway: Gateway) -> None:
        self.url = url
        self.key = key
        self.faults = gateway.faults
        self.clock = gateway.account.clock
        self._gateway = gateway

    @property
    def requests(self) -> Counter[Operation]:
        """How many calls came in, by operation."""
        return self._gateway.requests

    @property
    def token_claims(self) -> list[dict[str, Any]]:
        """What the last 1,000 Entra ID tokens that were presented claimed, accepted or not, oldest first."""
        return list(self._gateway.authorizer.claims)

    @property
    def write_regions(self) -> tuple[str, ...]:
        """The regions that the account says it writes to."""
        return self._gateway.account.write_regions

    @write_regions.setter
    def write_regions(self, regions: tuple[str, ...]) -> None:
        self._gateway.account.write_regions = regions

    def split(self, database: str, container: str, range_id: str | None = None) -> tuple[str, str]:
        """Split a key range of a container now, the widest unless named; the new ranges' ids.

        Raises:
            CosmosError: there is no such container.
            InvalidControlError: there is no such range.
        """
        return self._gateway.account.container(database, container).split(range_id)
