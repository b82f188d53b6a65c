"""Which messages a subscription takes: all, or those whose properties are equal to given ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from zekt_sandbox.servicebus.message import SYSTEM_PROPERTIES, Message

DEFAULT_RULE: Final = "$Default"


@dataclass(frozen=True)
class CorrelationFilter:
    """Equality with each of these; `system` has the names of the official emulator's Config.json."""

    system: Mapping[str, str] = field(default_factory=dict)
    application: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, message: Message) -> bool:
        """Whether all are equal."""
        properties = message.application_properties
        for name, value in self.application.items():
            if properties.get(name) != value:
                return False
        return all(message.property(SYSTEM_PROPERTIES[name]) == value for name, value in self.system.items())


@dataclass(frozen=True)
class TrueFilter:
    """Every message."""

    def matches(self, _: Message) -> bool:
        """Whether it is a message."""
        return True


Filter = CorrelationFilter | TrueFilter
