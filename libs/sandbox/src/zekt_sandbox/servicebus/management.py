"""The nodes `…/$management`: what the SDK asks of an entity outside its receiving and sending links."""

from collections.abc import Callable
from typing import Any

from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.amqp.types import Array, Timestamp
from zekt_sandbox.servicebus.entries import Entry
from zekt_sandbox.servicebus.errors import not_implemented
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.message import Message
from zekt_sandbox.servicebus.queue import Queue
from zekt_sandbox.servicebus.request_node import RequestNode
from zekt_sandbox.servicebus.topic import Topic

_OK, _NOTHING = 200, 204
_RECEIVE_AND_DELETE = 0
_STATUSES = {
    "com.microsoft:message-lock-lost": 410,
    "com.microsoft:message-not-found": 404,
    "com.microsoft:server-busy": 503,
    "amqp:not-implemented": 501,
}
_BAD_REQUEST = 400

Operation = Callable[[dict[str, Any]], tuple[int, Any]]


class ManagementNode(RequestNode):
    """Performs the operations that it was given by name."""

    def __init__(self, operations: dict[str, Operation]) -> None:
        self._operations = operations

    def perform(self, link: Link, request: Message) -> tuple[int, Any]:  # noqa: ARG002 - a node's signature
        """Perform one operation."""
        name = str(request.application_properties.get("operation")).removeprefix("com.microsoft:")
        operation = self._operations.get(name)
        if operation is None:
            raise not_implemented(name)
        return operation(request.value)

    def status_of(self, error: AmqpError) -> int:
        """The status that goes with a condition."""
        return _STATUSES.get(error.condition, _BAD_REQUEST)


class TopicManagementNode(ManagementNode):
    """Schedules, cancels and shows scheduled messages of a topic."""

    def __init__(self, topic: Topic, faults: Faults) -> None:
        super().__init__(
            {
                "schedule-message": self._schedule,
                "cancel-scheduled-message": self._cancel,
                "peek-message": lambda body: _peeked(topic.peek(*_page(body))),
            }
        )
        self._topic = topic
        self._faults = faults

    def perform(self, link: Link, request: Message) -> tuple[int, Any]:
        """Perform one operation; a lost answer is lost here too."""
        operation = request.application_properties.get("operation")
        performed = super().perform(link, request)
        if operation == "com.microsoft:schedule-message" and self._faults.loses_answer():
            link.session.connection.abort()
        return performed

    def _schedule(self, body: dict[str, Any]) -> tuple[int, Any]:
        self._faults.check_send()
        messages = [Message.parse(each["message"]) for each in body["messages"]]
        return _OK, {"sequence-numbers": Array(self._topic.accept(messages))}

    def _cancel(self, body: dict[str, Any]) -> tuple[int, Any]:
        self._topic.cancel(body["sequence-numbers"])
        return _OK, None


class QueueManagementNode(ManagementNode):
    """Renews and settles locks, and shows and receives messages of a subscription or its dead letters."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(
            {
                "renew-lock": self._renew,
                "update-disposition": self._settle,
                "peek-message": lambda body: _peeked(queue.peek(*_page(body))),
                "receive-by-sequence-number": self._receive_deferred,
            }
        )
        self._queue = queue

    def _renew(self, body: dict[str, Any]) -> tuple[int, Any]:
        locks = [self._queue.held(token) for token in body["lock-tokens"]]
        return _OK, {"expirations": Array(Timestamp.of(self._queue.renew(lock)) for lock in locks)}

    def _settle(self, body: dict[str, Any]) -> tuple[int, Any]:
        for lock in [self._queue.held(token) for token in body["lock-tokens"]]:
            match body["disposition-status"]:
                case "completed":
                    self._queue.complete(lock)
                case "abandoned":
                    self._queue.abandon(lock)
                case "defered":
                    self._queue.defer(lock)
                case "suspended":
                    self._queue.dead_letter(lock, body.get("deadletter-reason"), body.get("deadletter-description"))
                case other:
                    raise not_implemented(str(other))
        return _OK, None

    def _receive_deferred(self, body: dict[str, Any]) -> tuple[int, Any]:
        entries = [self._queue.deferred(number) for number in body["sequence-numbers"]]
        is_final = body.get("receiver-settle-mode") == _RECEIVE_AND_DELETE
        return _OK, {"messages": [self._removed(entry) if is_final else self._locked(entry) for entry in entries]}

    def _removed(self, entry: Entry) -> dict[str, Any]:
        self._queue.remove(entry)
        return {"message": entry.encode()}

    def _locked(self, entry: Entry) -> dict[str, Any]:
        lock = self._queue.lock(entry)
        return {"lock-token": lock.token, "message": entry.encode(lock.expires_at)}


def _page(body: dict[str, Any]) -> tuple[int, int]:
    return int(body["from-sequence-number"]), int(body["message-count"])


def _peeked(entries: list[Entry]) -> tuple[int, Any]:
    if not entries:
        return _NOTHING, None
    return _OK, {"messages": [{"message": entry.encode()} for entry in entries]}
