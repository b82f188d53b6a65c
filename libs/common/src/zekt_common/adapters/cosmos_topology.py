"""The Cosmos containers that Zekt needs, as provisioning makes them and the adapters find them.

Each service has a container of events and one of views; the data keys have one of their own.
"""

from typing import Any, Final

import msgspec

KEYS: Final = "keys"
TTL_ON_REQUEST_S: Final = -1
"""Items live for ever unless they carry a `ttl` of their own."""

_NOTHING_ELSE: Final = [{"path": "/*"}]


class ContainerDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One container: what it is called, how it is partitioned, indexed and expired (None: never)."""

    name: str
    partition_key: str
    indexing_policy: dict[str, Any]
    default_ttl_s: int | None = None


def events_of(service: str) -> str:
    """Return the name of the container that holds the service's events."""
    return f"events-{service}"


def views_of(service: str) -> str:
    """Return the name of the container that holds the service's views, checkpoints and leases."""
    return f"views-{service}"


def definitions(services: tuple[str, ...]) -> tuple[ContainerDefinition, ...]:
    """Return every container that these services need."""
    return (*service_definitions(services), KEYS_DEFINITION)


def service_definitions(services: tuple[str, ...]) -> tuple[ContainerDefinition, ...]:
    """Return the containers of these services; that of the data keys may lie in another account."""
    return tuple(definition for service in services for definition in (_events(service), _views(service)))


def _events(service: str) -> ContainerDefinition:
    return ContainerDefinition(
        name=events_of(service),
        partition_key="/streamId",
        indexing_policy=_indexed("/streamId/?", "/version/?", "/type/?"),
    )


def _views(service: str) -> ContainerDefinition:
    return ContainerDefinition(
        name=views_of(service),
        partition_key="/partition",
        indexing_policy=_indexed("/partition/?"),
        default_ttl_s=TTL_ON_REQUEST_S,
    )


def _indexed(*paths: str) -> dict[str, Any]:
    """Return the policy that indexes these paths alone: each one more costs request units on every write.

    The partition key has to be named, or queries within a partition scan; `id` is always indexed.
    """
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": path} for path in paths],
        "excludedPaths": _NOTHING_ELSE,
    }


KEYS_DEFINITION: Final = ContainerDefinition(name=KEYS, partition_key="/id", indexing_policy=_indexed())
