"""Deliveries from a queue to the links that receive from it, in turn."""

import asyncio
from collections import deque

from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import (
    ACCEPTED,
    MODIFIED,
    REJECTED,
    RELEASED,
    AmqpError,
    outcome,
    padded,
    rejection,
)
from zekt_sandbox.servicebus.amqp.types import Described
from zekt_sandbox.servicebus.entries import Entry, Lock
from zekt_sandbox.servicebus.errors import not_allowed
from zekt_sandbox.servicebus.queue import Queue

MAX_MESSAGE_SIZE = 256 * 1024
_RECEIVE_AND_DELETE_TAG = bytes(16)
_SESSION_FILTER = "com.microsoft:session-filter"


class Receivers:
    """The node that links receive from."""

    max_message_size = MAX_MESSAGE_SIZE

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        queue.on_ready = self._kick
        self._links: deque[Link] = deque()
        self._is_kicked = False

    def attach(self, link: Link) -> None:
        """Deliver to one more link.

        Raises:
            AmqpError: it asks for a session.
        """
        if _SESSION_FILTER in link.filters:
            raise not_allowed(
                "A sessionful message receiver cannot be created on an entity that does not require sessions."
            )
        self._links.append(link)
        link.open(self)

    def on_message(self, link: Link, payload: bytes, message_format: int) -> None:  # noqa: ARG002 - a node's signature
        """Refuse: nothing is sent on a link that receives."""
        raise not_allowed("A receiver's link takes no messages.")

    def on_credit(self, _: Link) -> None:
        """Deliver what there is."""
        self._deliver_all()

    def on_closed(self, link: Link) -> None:
        """Leave what was delivered locked: its receiver may still settle it over another link."""
        if link in self._links:
            self._links.remove(link)

    def on_disposition(self, context: Lock, state: Described) -> Described:
        """Settle as the receiver says, if its lock is still held."""
        try:
            lock = self.queue.held(context.token)
        except AmqpError as error:
            return rejection(error)
        return self._settle(lock, int(state.descriptor), state)

    def _settle(self, lock: Lock, code: int, state: Described) -> Described:
        if code == ACCEPTED:
            self.queue.complete(lock)
        elif code == REJECTED:
            self.queue.dead_letter(lock, *_reasons(state))
            return outcome(REJECTED)
        elif code == RELEASED:
            self.queue.release(lock)
        elif code == MODIFIED:
            self._modify(lock, state)
        else:
            return rejection(not_allowed("A delivery is accepted, rejected, released or modified."))
        return state

    def _modify(self, lock: Lock, state: Described) -> None:
        has_failed, is_undeliverable_here = padded(list(state.value), 2)[:2]
        if is_undeliverable_here:
            self.queue.defer(lock)
        elif has_failed:
            self.queue.abandon(lock)
        else:
            self.queue.release(lock)

    def _kick(self) -> None:
        if not self._is_kicked and self._links:
            self._is_kicked = True
            asyncio.get_running_loop().call_soon(self._deliver_all)

    def _deliver_all(self) -> None:
        self._is_kicked = False
        while (link := self._next_link()) is not None:
            entry = self.queue.take()
            if entry is None:
                return
            self._deliver(entry, link)

    def _next_link(self) -> Link | None:
        for _ in range(len(self._links)):
            link = self._links[0]
            self._links.rotate(-1)
            if link.can_send:
                return link
        return None

    def _deliver(self, entry: Entry, link: Link) -> None:
        if link.is_settled_by_sender:
            self.queue.remove(entry)
            link.transfer(entry.encode(), _RECEIVE_AND_DELETE_TAG, settled=True)
            return
        lock = self.queue.lock(entry)
        link.transfer(entry.encode(lock.expires_at), lock.token.bytes_le, context=lock)


def _reasons(state: Described) -> tuple[str | None, str | None]:
    """Why a receiver rejects, which the SDK says in the error's own map."""
    error = state.value[0].value if state.value and state.value[0] is not None else []
    told = padded(list(error), 3)[2] or {}
    by_name = {str(name): text for name, text in told.items()}
    return by_name.get("DeadLetterReason"), by_name.get("DeadLetterErrorDescription")
