"""What the stand-in refuses: of its own configuration, and of clients in Service Bus's terms."""

from zekt_sandbox.servicebus.amqp.performatives import AmqpError


class ConfigError(Exception):
    """The configuration asks for what does not exist, or for what this stand-in does not do."""


class InvalidControlError(Exception):
    """A control was asked for something that makes no sense."""


class NotLoopbackError(Exception):
    """The stand-in was asked to listen where others could reach it."""


def entity_not_found(path: str) -> AmqpError:
    """There is no topic, or no subscription, of this name."""
    return AmqpError("amqp:not-found", f"The messaging entity '{path}' could not be found.")


def not_allowed(description: str) -> AmqpError:
    """The entity is not for that."""
    return AmqpError("amqp:not-allowed", description)


def unauthorized(description: str) -> AmqpError:
    """No token that was presented allows this."""
    return AmqpError("amqp:unauthorized-access", description)


def lock_lost() -> AmqpError:
    """The lock has expired, or its message was settled."""
    return AmqpError(
        "com.microsoft:message-lock-lost",
        "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the"
        " queue.",
    )


def message_not_found(sequence_number: int) -> AmqpError:
    """No deferred or scheduled message has this number."""
    return AmqpError(
        "com.microsoft:message-not-found", f"The message with the sequence number {sequence_number} was not found."
    )


def too_many_connections() -> AmqpError:
    """The namespace has as many connections as it may."""
    return AmqpError("amqp:resource-limit-exceeded", "ConnectionsQuotaExceeded for namespace: zekt-sandbox.")


def server_busy() -> AmqpError:
    """Try again later."""
    return AmqpError("com.microsoft:server-busy", "The request was terminated because the entity is being throttled.")


def not_implemented(operation: str) -> AmqpError:
    """The stand-in does not do this."""
    return AmqpError("amqp:not-implemented", f"The stand-in does not do {operation!r}.")
