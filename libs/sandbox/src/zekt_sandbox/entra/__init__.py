"""An Entra ID tenant on 127.0.0.1, over TLS with a CA of its own, for tests and local trials."""

from zekt_sandbox.entra.errors import NotLoopbackError, UnknownApplicationError
from zekt_sandbox.entra.faults import Fault, Faults
from zekt_sandbox.entra.sandbox import EntraSandbox
from zekt_sandbox.entra.serving import EntraOptions, serving
from zekt_sandbox.entra.tenant import Application

__all__ = [
    "Application",
    "EntraOptions",
    "EntraSandbox",
    "Fault",
    "Faults",
    "NotLoopbackError",
    "UnknownApplicationError",
    "serving",
]
