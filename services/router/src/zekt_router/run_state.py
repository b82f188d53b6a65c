"""A run's state and how its events change it."""

import msgspec

from zekt_common.envelope import Event
from zekt_router.correlation import Attempt, due_at
from zekt_router.run_events import (
    CompletionAccepted,
    CompletionPredated,
    MessageBlocked,
    MessageRecorded,
    RoutingFinished,
    RoutingStarted,
    RunBlocked,
    RunRouted,
    WindowClosed,
)
from zekt_router.run_model import Message

ItemKey = tuple[int, str | None]


class Held(msgspec.Struct, frozen=True):
    """A recorded message; it waits until it has joined a completion or was blocked.

    Its payload is kept until the message has been routed or blocked.
    """

    message: Message
    waiting: bool = True


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """How far the routing of a plain event (no message id) or a message has come."""

    run_attempt: int
    message_id: str | None
    late: bool
    catalog_version: int
    after: str = ""
    routed: int = 0
    refused: int = 0
    finished: bool = False

    @property
    def key(self) -> ItemKey:
        """Return what tells this item from the run's others."""
        return self.run_attempt, self.message_id


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts by number, messages by id, items by attempt and message; the dictionaries are never changed."""

    attempts: dict[int, Attempt] = msgspec.field(default_factory=dict)
    messages: dict[str, Held] = msgspec.field(default_factory=dict)
    items: dict[ItemKey, Item] = msgspec.field(default_factory=dict)

    @property
    def has_waiting_messages(self) -> bool:
        """Return whether a message has neither joined a completion nor been blocked."""
        return any(held.waiting for held in self.messages.values())

    @property
    def owner_ids(self) -> set[int]:
        """Return the ids of the accounts that the completed attempts belong to."""
        return {attempt.completion.owner_id for attempt in self.attempts.values()}

    @property
    def awaits_a_close(self) -> bool:
        """Return whether a waiting message will join something known once enough time has been published."""
        return any(due_at(message, self.attempts) is not None for message in self.waiting_messages())

    def waiting_messages(self) -> list[Message]:
        """Return the messages that wait, in the order they were stored."""
        waiting = [held.message for held in self.messages.values() if held.waiting]
        return sorted(waiting, key=lambda message: (message.received_at, message.message_id))

    def unfinished(self) -> Item | None:
        """Return an item whose routing has been started and not finished."""
        return next((item for item in self.items.values() if not item.finished), None)


def evolve(run: Run, event: Event) -> Run:
    """Return the run after the event."""
    match event:
        case RunBlocked():
            run = _with_attempt(run, Attempt(completion=event.completion))
        case CompletionAccepted():
            run = _with_attempt(run, _accepted(event))
        case CompletionPredated():
            run = _predated(run, event)
        case MessageRecorded():
            run = _with_message(run, Held(event.message))
        case MessageBlocked():
            run = _emptied(_settled(run, event.message_id), event.message_id)
        case WindowClosed():
            run = _closed(run, event.run_attempt)
        case RoutingStarted():
            run = _started(run, event)
        case RunRouted() | RoutingFinished():
            run = _progressed(run, event)
    return run


def _accepted(event: CompletionAccepted) -> Attempt:
    return Attempt(
        completion=event.completion,
        window_end=event.window_end,
        takes_messages=event.takes_messages,
        closed=not event.takes_messages,
    )


def _closed(run: Run, number: int) -> Run:
    attempt = run.attempts.get(number)
    return run if attempt is None else _with_attempt(run, msgspec.structs.replace(attempt, closed=True))


def _predated(run: Run, event: CompletionPredated) -> Run:
    attempt = run.attempts.get(event.run_attempt)
    if attempt is None:
        return run
    completion = msgspec.structs.replace(attempt.completion, received_at=event.received_at)
    return _with_attempt(run, msgspec.structs.replace(attempt, completion=completion, window_end=event.window_end))


def _started(run: Run, event: RoutingStarted) -> Run:
    item = Item(
        run_attempt=event.run_attempt,
        message_id=event.message_id,
        late=event.late,
        catalog_version=event.catalog_version,
    )
    run = _with_item(run, item)
    if event.message_id is None:
        return run
    run = _settled(run, event.message_id)
    attempt = run.attempts.get(event.run_attempt)
    if attempt is None or event.late:
        return run
    return _with_attempt(run, msgspec.structs.replace(attempt, joined_in_time=True))


def _progressed(run: Run, event: RunRouted | RoutingFinished) -> Run:
    item = run.items.get((event.run_attempt, event.message_id))
    if item is None:
        return run
    if isinstance(event, RoutingFinished):
        run = _emptied(run, event.message_id) if event.message_id else run
        return _with_item(run, msgspec.structs.replace(item, finished=True))
    return _with_item(
        run,
        msgspec.structs.replace(
            item,
            after=event.last_subscription_id,
            routed=item.routed + len(event.routed),
            refused=item.refused + len(event.refused),
        ),
    )


def _settled(run: Run, message_id: str) -> Run:
    held = run.messages.get(message_id)
    return run if held is None else _with_message(run, msgspec.structs.replace(held, waiting=False))


def _emptied(run: Run, message_id: str) -> Run:
    """Let go of a payload that nothing will need any more."""
    held = run.messages.get(message_id)
    if held is None or (held.message.payload is None and held.message.payload_ref is None):
        return run
    message = msgspec.structs.replace(held.message, payload=None, payload_ref=None)
    return _with_message(run, msgspec.structs.replace(held, message=message))


def _with_attempt(run: Run, attempt: Attempt) -> Run:
    return Run(attempts=run.attempts | {attempt.number: attempt}, messages=run.messages, items=run.items)


def _with_message(run: Run, held: Held) -> Run:
    messages = run.messages | {held.message.message_id: held}
    return Run(attempts=run.attempts, messages=messages, items=run.items)


def _with_item(run: Run, item: Item) -> Run:
    return Run(attempts=run.attempts, messages=run.messages, items=run.items | {item.key: item})
