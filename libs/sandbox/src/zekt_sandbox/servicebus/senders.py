"""The node that links send to a topic through."""

from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.node import IncomingNode
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.message import BATCH_FORMAT, Message
from zekt_sandbox.servicebus.receivers import MAX_MESSAGE_SIZE
from zekt_sandbox.servicebus.topic import Topic


class Senders(IncomingNode):
    """Gives what is sent to the topic, with the faults that were ordered."""

    max_message_size = MAX_MESSAGE_SIZE

    def __init__(self, topic: Topic, faults: Faults) -> None:
        self._topic = topic
        self._faults = faults

    def on_message(self, link: Link, payload: bytes, message_format: int) -> None:
        """Take in a message or a batch of them, all or none."""
        self._faults.check_send()
        message = Message.parse(payload)
        self._topic.accept(message.unbatched() if message_format == BATCH_FORMAT else [message])
        if self._faults.loses_answer():
            link.session.connection.abort()
