"""What the Service Bus protocol offers and the SDK does itself, but does not publish: in this one place.

Tests over a real socket hold each of these to what it promises, so that an update of the SDK cannot change it unseen.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

RELEASE_S = 1.0

Handler = TypeVar("Handler", bound=ServiceBusSender | ServiceBusReceiver)

_NEVER = datetime.max.replace(tzinfo=UTC)
_NOTHING_FOUND = (202, 204)
_FOUND = 200


def unexpiring(message: ServiceBusReceivedMessage) -> ServiceBusReceivedMessage:
    """Return the message to settle: whether its lock has ended is for the broker to say.

    The SDK would compare the broker's clock with this machine's, and refuse by itself.
    """
    message._expiry = _NEVER  # noqa: SLF001 - see above
    return message


async def release(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
    """End the message's lock at once, without counting a delivery as `abandon_message` does.

    A message that came over a link since lost can only be abandoned.
    """
    try:
        await receiver._handler.settle_messages_async(  # noqa: SLF001 - see above
            message._delivery_id,  # noqa: SLF001 - see above
            message._delivery_tag,  # noqa: SLF001 - see above
            "released",
            await_outcome=True,
            outcome_timeout=RELEASE_S,
        )
    except Exception:  # noqa: BLE001 - whatever the reason, the broker knows whether the lock is still ours
        await receiver.abandon_message(unexpiring(message))


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[Handler]:
    """Open the handler, and in the end close it and its socket.

    The SDK leaves that of a broken link open, and that of one that was given up while it opened.
    """
    clients = _clients_of(handler)
    transports: list[Any] = []
    try:
        async with handler:
            transports += _transports(clients)
            yield handler
    finally:
        for transport in (*transports, *_transports(clients)):
            if transport.writer is not None:
                transport.writer.transport.abort()


def _clients_of(handler: ServiceBusSender | ServiceBusReceiver) -> Sequence[Any]:
    """Return the AMQP clients that the handler is going to make: it forgets those that it cannot open."""
    made: list[Any] = []
    unbound = cast("Any", handler)
    create = unbound._create_handler  # noqa: SLF001 - see above

    def create_and_note(*arguments: Any) -> None:
        create(*arguments)
        made.append(unbound._handler)  # noqa: SLF001 - see above

    unbound._create_handler = create_and_note  # noqa: SLF001 - see above
    return made


def _transports(clients: Sequence[Any]) -> Sequence[Any]:
    connections = [client._connection for client in clients]  # noqa: SLF001 - see above
    return [connection._transport for connection in connections if connection is not None]  # noqa: SLF001 - see above


async def withdraw(receiver: ServiceBusReceiver) -> None:
    """Ask for no more messages, and send back those under way: else they stay locked where nobody looks."""
    transport = cast("Any", receiver._amqp_transport)  # noqa: SLF001 - see above
    await transport.drain_and_release_messages_async(receiver._handler)  # noqa: SLF001 - see above


async def peek_scheduled(
    sender: ServiceBusSender, *, first_sequence: int, limit: int
) -> list[ServiceBusReceivedMessage]:
    """Return messages that wait in the topic until they are due: no subscription shows them before."""
    request = {"from-sequence-number": {"TYPE": "LONG", "VALUE": first_sequence}, "message-count": limit}
    found: list[ServiceBusReceivedMessage] = await sender._mgmt_request_response_with_retry(  # noqa: SLF001 - see above
        b"com.microsoft:peek-message", request, _peeked
    )
    return found


def _peeked(status: int, message: Any, description: str, **_: Any) -> list[ServiceBusReceivedMessage]:
    if status == _FOUND:
        return [ServiceBusReceivedMessage.from_bytes(bytes(each[b"message"])) for each in message.value[b"messages"]]
    if status in _NOTHING_FOUND:
        return []
    raise ValueError(f"peek answered {status}: {description}")
