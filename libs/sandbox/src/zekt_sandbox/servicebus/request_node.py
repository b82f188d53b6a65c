"""The node that answers requests: a pair of links, one for requests and one for answers."""

from abc import ABC, abstractmethod
from typing import Any

from zekt_sandbox.servicebus.amqp.encoding import encode
from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.node import IncomingNode
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.amqp.types import Int, Symbol
from zekt_sandbox.servicebus.message import Message, answer

_MAX_REQUEST_SIZE = 2**20


class RequestNode(IncomingNode, ABC):
    """Answers each request over the answering link of the same session and address."""

    max_message_size = _MAX_REQUEST_SIZE
    status_name = "statusCode"
    description_name = "statusDescription"

    @abstractmethod
    def perform(self, link: Link, request: Message) -> tuple[int, Any]:
        """Do what is asked, and return a status and the answer's body.

        Raises:
            AmqpError: it is refused.
        """

    @abstractmethod
    def status_of(self, error: AmqpError) -> int:
        """Return the status that a refusal is answered with."""

    def on_message(self, link: Link, payload: bytes, message_format: int) -> None:  # noqa: ARG002 - a node's signature
        """Perform a request and answer it."""
        request = Message.parse(payload)
        properties: dict[str, Any] = {}
        body: Any = None
        try:
            status, body = self.perform(link, request)
            description = "OK"
        except AmqpError as error:
            status, description = self.status_of(error), error.description
            properties["errorCondition"] = Symbol(error.condition)
        told = {self.status_name: Int(status), self.description_name: description, **properties}
        self._send(link, answer(request, told, encode(body)))

    def _send(self, link: Link, encoded: bytes) -> None:
        for answering in link.session.links.values():
            if answering.sends and answering.address == link.address and not answering.is_closed:
                answering.transfer(encoded, b"answer", settled=True)
                return
