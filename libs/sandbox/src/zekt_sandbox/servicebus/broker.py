"""The broker that connections lead to: which node a link gets, if its connection's tokens allow it."""

from zekt_sandbox.servicebus import cbs
from zekt_sandbox.servicebus.amqp.connection import Connection
from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.errors import not_allowed, too_many_connections, unauthorized
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.management import ManagementNode, QueueManagementNode, TopicManagementNode
from zekt_sandbox.servicebus.namespace import Namespace, entity_path
from zekt_sandbox.servicebus.receivers import Receivers
from zekt_sandbox.servicebus.senders import Senders
from zekt_sandbox.servicebus.tokens import Authorizer, is_within
from zekt_sandbox.servicebus.topic import Topic

_MANAGEMENT = "/$management"


class ServiceBusBroker:
    """One namespace, behind tokens and faults."""

    def __init__(self, namespace: Namespace, authorizer: Authorizer, faults: Faults) -> None:
        self.namespace = namespace
        self.authorizer = authorizer
        self.faults = faults
        self.connections: set[Connection] = set()
        self.refused_connections = 0

    @property
    def incoming_delay_s(self) -> float:
        """How late to act on what arrives."""
        return self.faults.delay_s

    def admit(self, connection: Connection) -> None:
        """Let a connection that has said hello in, unless as many as may be are in.

        Raises:
            AmqpError: it is one too many.
        """
        others = sum(each.is_open for each in self.connections if each is not connection)
        if 0 < self.faults.max_connections <= others:
            self.refused_connections += 1
            raise too_many_connections()

    def attach(self, link: Link) -> None:
        """Open the link to the node at its address.

        Raises:
            AmqpError: there is none, it is not for this direction, or no token allows it.
        """
        if link.address == cbs.ADDRESS:
            link.open(cbs.TokenNode(self.authorizer))
            return
        path = entity_path(link.address)
        entity = path.removesuffix(_MANAGEMENT)
        if not any(is_within(entity, granted) for granted in link.session.connection.grants):
            raise unauthorized(f"Unauthorized access. Required claims were not presented for '{path}'.")
        found = self.namespace.find(entity)
        if path.endswith(_MANAGEMENT):
            link.open(self._management(found))
        else:
            self._attach(link, found)

    def drop_connections(self) -> None:
        """Cut all of them, with nothing said."""
        for connection in list(self.connections):
            connection.abort()

    def detach_links(self) -> None:
        """End every link as Service Bus does with idle ones."""
        error = AmqpError("amqp:link:detach-forced", "The link was detached on order.")
        for connection in self.connections:
            for session in connection.sessions.values():
                for link in list(session.links.values()):
                    if link.address != cbs.ADDRESS:
                        link.detach(error)

    def _management(self, found: Topic | Receivers) -> ManagementNode:
        if isinstance(found, Topic):
            return TopicManagementNode(found, self.faults)
        return QueueManagementNode(found.queue)

    def _attach(self, link: Link, found: Topic | Receivers) -> None:
        if isinstance(found, Topic):
            if link.sends:
                raise not_allowed("A topic cannot be received from: receive from a subscription.")
            link.open(Senders(found, self.faults))
        elif link.sends:
            found.attach(link)
        else:
            raise not_allowed("A subscription cannot be sent to: send to its topic.")
