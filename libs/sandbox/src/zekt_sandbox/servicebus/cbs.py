"""The node `$cbs`: claims-based security, tokens that are put before anything else is done."""

from typing import Any

from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.errors import not_implemented
from zekt_sandbox.servicebus.message import Message
from zekt_sandbox.servicebus.namespace import entity_path
from zekt_sandbox.servicebus.request_node import RequestNode
from zekt_sandbox.servicebus.tokens import Authorizer

ADDRESS = "$cbs"
_ACCEPTED, _BAD_REQUEST, _UNAUTHORIZED = 202, 400, 401


class TokenNode(RequestNode):
    """Grants a connection what the tokens that are put over it allow."""

    status_name = "status-code"
    description_name = "status-description"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def perform(self, link: Link, request: Message) -> tuple[int, Any]:
        """Check a token and grant the resource that it is put for."""
        operation = request.application_properties.get("operation")
        if operation != "put-token":
            raise not_implemented(str(operation))
        resource = str(request.application_properties.get("name", ""))
        self._authorizer.check(str(request.value), resource)
        link.session.connection.grants.add(entity_path(resource))
        return _ACCEPTED, None

    def status_of(self, error: AmqpError) -> int:
        """Tell a refused token from a request that makes no sense."""
        return _UNAUTHORIZED if error.condition == "amqp:unauthorized-access" else _BAD_REQUEST
