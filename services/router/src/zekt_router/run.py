"""One run with all its attempts, stream `run/{repository_id}/{run_id}`: policy, correlation and routing.

An item is what is routed: the plain event of an attempt, or a message that joined it.

A decision starts a bounded number of items, since one append takes no more; deciding the command again goes on.
Whatever is decided next first joins what was left to be joined, and no window closes before that, so that the bound
changes when items start, never which ones or why.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

import msgspec

from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_router.catalog_model import Subscription, Workflow
from zekt_router.correlation import Attempt, due_at, joining
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, hindrance_of, judge_completion
from zekt_router.routing import Page, Targets, route_page
from zekt_router.run_events import (
    RUN_SCHEMAS,
    CompletionAccepted,
    CompletionPredated,
    MessageBlocked,
    MessageRecorded,
    RoutingFinished,
    RoutingStarted,
    RunBlocked,
    WindowClosed,
)
from zekt_router.run_model import MAX_PAYLOAD_BYTES, Completion, Message
from zekt_router.run_state import Item, Run, evolve

CatalogsByOwner: TypeAlias = Mapping[int, CatalogAt]
"""The catalogs of all accounts that the run's attempts belong to: a repository can pass to another between two."""

EVENTS_AT_ONCE: Final = 40
"""Joining and closing stop once a decision has so many events; it may have one more."""


class RecordCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt has completed; a repeat, through another hook say, changes nothing."""

    completion: Completion
    catalogs: CatalogsByOwner


class RecordMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt has sent a message."""

    message: Message
    catalogs: CatalogsByOwner


class CloseWindows(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about this run that was stored up to `through` has been recorded."""

    through: datetime
    catalogs: CatalogsByOwner


class RoutePage(msgspec.Struct, frozen=True, kw_only=True):
    """Decide the item's next subscriptions.

    `catalog` is the provider's at the version the item started with, the provider being whom the attempt belongs to;
    `content_refusals` are the services, by slug, whose rules forbid this message's payload.
    """

    item: Item
    catalog: CatalogAt
    targets: Targets
    content_refusals: Mapping[str, Blocked] = {}


Command: TypeAlias = RecordCompletion | RecordMessage | CloseWindows | RoutePage


def decide(run: Run, command: Command, *, at_once: int = EVENTS_AT_ONCE) -> list[Event]:
    """Return what the command leads to, or the next of it; none if all of it is known already."""
    deciding = _Deciding(run, {} if isinstance(command, RoutePage) else command.catalogs, at_once)
    match command:
        case RecordCompletion():
            deciding.record_completion(command.completion)
        case RecordMessage():
            deciding.record_message(command.message)
        case CloseWindows():
            deciding.close_windows(command.through)
        case RoutePage():
            deciding.route_page(command)
        case _:
            assert_never(command)
    return deciding.events


RUN: Decider[Run, Command] = Decider(Run(), decide, evolve, RUN_SCHEMAS)


class _Deciding:
    """The events decided so far and the run after them."""

    def __init__(self, run: Run, catalogs: CatalogsByOwner, at_once: int) -> None:
        self.run = run
        self.events: list[Event] = []
        self._catalogs = catalogs
        self._at_once = at_once

    def record_completion(self, completion: Completion) -> None:
        if not self._join_messages():
            return
        known = self.run.attempts.get(completion.run_attempt)
        if known is not None:
            self._predate(known, completion)
            return
        catalog = self._catalogs[completion.owner_id]
        verdict = judge_completion(catalog.catalog, completion)
        if isinstance(verdict, Blocked):
            self._block(completion, verdict, catalog.version)
        else:
            self._accept(completion, verdict, catalog.version)
        self._join_messages()

    def record_message(self, message: Message) -> None:
        if not self._join_messages() or message.message_id in self.run.messages:
            return
        due = due_at(message, self.run.attempts) if joining(message, self.run.attempts, None) is None else None
        self._emit(MessageRecorded(message=message, due_at=due))
        if message.size_bytes > MAX_PAYLOAD_BYTES:
            detail = f"{message.size_bytes} bytes are more than {MAX_PAYLOAD_BYTES}."
            self._block_message(message, message.run_attempt, Blocked("payload_too_large", detail))
        self._join_messages()

    def close_windows(self, through: datetime) -> None:
        if not self._join_messages(through):
            return
        for number in sorted(self.run.attempts):
            if self._is_full:
                return
            attempt = self.run.attempts[number]
            if attempt.closed or attempt.window_end is None or attempt.window_end > through:
                continue
            plain = not attempt.joined_in_time
            self._emit(WindowClosed(run_attempt=number, through=through, plain=plain))
            if plain:
                self._start(number, None, late=False)

    def route_page(self, command: RoutePage) -> None:
        item = self.run.items.get(command.item.key)
        if item is None or item.finished:
            return
        attempt = self.run.attempts[item.run_attempt].completion
        if self._subscriptions(item, attempt, command.catalog):
            self._emit(route_page(self._page(item, attempt, command)))
            item = self.run.items[item.key]
        if not self._subscriptions(item, attempt, command.catalog):
            self._finish(item)

    def _accept(self, completion: Completion, workflow: Workflow, catalog_version: int) -> None:
        takes_messages = workflow.mode == "events+messages"
        window_s = workflow.correlation_window_s if takes_messages else 0.0
        window_end = completion.received_at + timedelta(seconds=window_s)
        must_look_again = takes_messages or self.run.has_waiting_messages
        self._emit(
            CompletionAccepted(
                completion=completion,
                takes_messages=takes_messages,
                window_end=window_end,
                catalog_version=catalog_version,
                due_at=window_end if must_look_again else None,
            )
        )
        if not takes_messages:
            self._start(completion.run_attempt, None, late=False)

    def _predate(self, known: Attempt, repeat: Completion) -> None:
        """Take the earlier stored time of the two, so that it does not matter which hook's completion came first."""
        if known.closed or known.window_end is None or repeat.received_at >= known.completion.received_at:
            return
        window_end = known.window_end - (known.completion.received_at - repeat.received_at)
        self._emit(
            CompletionPredated(
                run_attempt=known.number, received_at=repeat.received_at, window_end=window_end, due_at=window_end
            )
        )

    def _block(self, completion: Completion, blocked: Blocked, catalog_version: int) -> None:
        self._emit(
            RunBlocked(
                completion=completion, reason=blocked.reason, detail=blocked.detail, catalog_version=catalog_version
            )
        )

    @property
    def _is_full(self) -> bool:
        return len(self.events) >= self._at_once

    def _join_messages(self, through: datetime | None = None) -> bool:
        """Join the messages that can be by now; False if the decision is full before the last of them."""
        for message in self.run.waiting_messages():
            joined = joining(message, self.run.attempts, through)
            if joined is None:
                continue
            if self._is_full:
                return False
            self._join(message, joined.attempt)
        return True

    def _join(self, message: Message, number: int) -> None:
        attempt = self.run.attempts[number]
        refusal = self._judge_message(message, attempt)
        if refusal is not None:
            self._block_message(message, number, refusal)
            return
        in_time = attempt.window_end is not None and message.received_at <= attempt.window_end and not attempt.closed
        self._start(number, message.message_id, late=not in_time)

    def _judge_message(self, message: Message, attempt: Attempt) -> Blocked | None:
        if not attempt.takes_messages:
            return Blocked("messages_not_enabled", "Set the workflow's mode to events+messages.")
        completion = attempt.completion
        if message.owner_id != completion.owner_id:  # else a new owner would speak to the old one's subscribers
            return Blocked("owner_changed", "The repository changed hands between the run and its message.")
        catalog = self._catalogs[completion.owner_id].catalog
        repository = catalog.repositories.get(completion.repository_id)
        return None if repository is None else hindrance_of(catalog, repository)

    def _block_message(self, message: Message, number: int, blocked: Blocked) -> None:
        self._emit(
            MessageBlocked(
                message_id=message.message_id, run_attempt=number, reason=blocked.reason, detail=blocked.detail
            )
        )

    def _start(self, number: int, message_id: str | None, *, late: bool) -> None:
        version = self._catalogs[self.run.attempts[number].completion.owner_id].version
        self._emit(RoutingStarted(run_attempt=number, message_id=message_id, late=late, catalog_version=version))

    def _subscriptions(self, item: Item, completion: Completion, catalog: CatalogAt) -> list[Subscription]:
        return catalog.page(completion.repository_id, completion.workflow_path, item.after)

    def _page(self, item: Item, completion: Completion, command: RoutePage) -> Page:
        held = self.run.messages.get(item.message_id) if item.message_id else None
        return Page(
            item=item,
            completion=completion,
            message=held.message if held else None,
            subscriptions=self._subscriptions(item, completion, command.catalog),
            catalog=command.catalog,
            targets=command.targets,
            content_refusals=command.content_refusals,
        )

    def _finish(self, item: Item) -> None:
        self._emit(
            RoutingFinished(
                run_attempt=item.run_attempt, message_id=item.message_id, routed=item.routed, refused=item.refused
            )
        )

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self.run = evolve(self.run, event)
