"""A Service Bus namespace on 127.0.0.1, for tests and local trials: what is stored is gone when it stops."""

from zekt_sandbox.servicebus.entries import Counts
from zekt_sandbox.servicebus.errors import ConfigError, InvalidControlError, NotLoopbackError
from zekt_sandbox.servicebus.sandbox import ServiceBusSandbox
from zekt_sandbox.servicebus.serving import serving
from zekt_sandbox.servicebus.tokens import AUDIENCE, DEFAULT_KEY, KEY_NAME

__all__ = [
    "AUDIENCE",
    "DEFAULT_KEY",
    "KEY_NAME",
    "ConfigError",
    "Counts",
    "InvalidControlError",
    "NotLoopbackError",
    "ServiceBusSandbox",
    "serving",
]
