"""A key vault on 127.0.0.1, for tests and local trials: its keys are gone when it stops."""

from zekt_sandbox.keyvault.errors import InvalidControlError, NotLoopbackError
from zekt_sandbox.keyvault.faults import Fault, Faults
from zekt_sandbox.keyvault.sandbox import KeyVaultSandbox
from zekt_sandbox.keyvault.serving import serving
from zekt_sandbox.keyvault.tokens import RESOURCE

__all__ = [
    "RESOURCE",
    "Fault",
    "Faults",
    "InvalidControlError",
    "KeyVaultSandbox",
    "NotLoopbackError",
    "serving",
]
