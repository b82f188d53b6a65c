"""A Cosmos DB account on 127.0.0.1, for tests and local trials: what is stored is gone when it stops."""

from zekt_sandbox.cosmos.errors import InvalidControlError, NotLoopbackError
from zekt_sandbox.cosmos.faults import Fault, Faults
from zekt_sandbox.cosmos.sandbox import CosmosSandbox
from zekt_sandbox.cosmos.serving import DEFAULT_KEY, CosmosOptions, serving

__all__ = [
    "DEFAULT_KEY",
    "CosmosOptions",
    "CosmosSandbox",
    "Fault",
    "Faults",
    "InvalidControlError",
    "NotLoopbackError",
    "serving",
]
