"""A Service Bus namespace on 127.0.0.1, for tests and local trials: what is stored is gone when it stops."""

from zekt_sandbox.servicebus.entries import Counts
from zekt_sandbox.servicebus.errors import ConfigError, InvalidControlError, NotLoopbackError
from zekt_sandbox.servicebus.sandbox import AUDIENCE, DEFAULT_KEY, KEY_NAME, ServiceBusSandbox, serving

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
