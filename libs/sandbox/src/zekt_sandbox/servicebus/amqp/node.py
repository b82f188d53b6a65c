"""What links lead to."""

from typing import Any, Protocol

from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import ACCEPTED, outcome
from zekt_sandbox.servicebus.amqp.types import Described


class Node(Protocol):
    """An end of links in the broker. `context` is what the node passed to `Link.transfer` with the delivery."""

    max_message_size: int

    def on_message(self, link: Link, payload: bytes, message_format: int) -> None:
        """Take in a whole message; raising `AmqpError` rejects it."""

    def on_disposition(self, context: Any, state: Described) -> Described:
        """Settle a delivery as its receiver says, and return the state to answer with."""

    def on_credit(self, link: Link) -> None:
        """Send what the link may now take."""

    def on_closed(self, link: Link) -> None:
        """Forget the link."""


class IncomingNode:
    """What nodes have in common that take messages in and leave nothing unsettled on their links."""

    def on_disposition(self, context: Any, state: Described) -> Described:  # noqa: ARG002 - a node's signature
        """Accept: there is nothing to settle."""
        return outcome(ACCEPTED)

    def on_credit(self, link: Link) -> None:
        """Do nothing: nothing waits to be sent."""

    def on_closed(self, link: Link) -> None:
        """Do nothing: the link leaves nothing behind."""
