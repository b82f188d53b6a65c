"""From a received message to its settlement: decode, recognise, run the handler, and judge what it did."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import structlog
from opentelemetry.trace import SpanKind

from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import Envelope, Event, decode
from zekt_common.errors import EventTampered, StorageUnusable
from zekt_common.kit.settlement import Complete, DeadLetter, Handler, Release, Retry, Settlement
from zekt_common.kit.supervision import describe, growing_pause_s
from zekt_common.ports import ReceivedMessage
from zekt_common.schemas import Schemas, Upcast
from zekt_common.telemetry.metrics import CONSUMER_DURATION
from zekt_common.telemetry.tracing import span

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 60.0
STORAGE_PAUSE_S = 1.0
REMEMBERED_IDS = 20_000

log = structlog.get_logger()


class Handling:
    """A subscription's handlers by message type, and what their answers and errors lead to."""

    def __init__(
        self,
        terms: Subscription,
        handlers: Mapping[type[Event], Handler],
        upcasts: Mapping[tuple[str, int], Upcast] | None = None,
    ) -> None:
        self._terms = terms
        self._handlers = {event.TYPE: handler for event, handler in handlers.items()}
        self._schemas = Schemas(handlers, upcasts)
        self._history = _History(REMEMBERED_IDS)
        self._ignored: set[str] = set()
        self.newest: datetime | None = None

    async def settlement(self, message: ReceivedMessage) -> Settlement | Release:
        """Handle the message and return what is to become of it; raises nothing."""
        try:
            envelope = decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return DeadLetter("not an envelope")
        self.newest = envelope.time
        if not self._history.admits(envelope):
            log.error("event_tampered", envelope_id=envelope.id, commitid=envelope.commitid, **self.ids(message))
            return DeadLetter(f"{EventTampered.__name__}: {envelope.id} is known under another commit id")
        if envelope.type not in self._schemas:
            return self._ignore(envelope)
        return self._within_attempts(message, await self._handle(message, envelope))

    def ids(self, message: ReceivedMessage) -> dict[str, Any]:
        """Return what a log line says of the message."""
        return {
            "topic": self._terms.topic,
            "subscription": self._terms.name,
            "message_id": message.message_id,
            "attempt": message.attempt,
        }

    def _ignore(self, envelope: Envelope) -> Complete:
        if envelope.type not in self._ignored:
            self._ignored.add(envelope.type)
            log.info("unknown_message_type_ignored", type=envelope.type, subscription=self._terms.name)
        return Complete()

    async def _handle(self, message: ReceivedMessage, envelope: Envelope) -> Settlement | Release:
        began = time.monotonic()
        try:
            event = self._schemas.decode(envelope)
        except msgspec.DecodeError:
            return DeadLetter(f"data is no {envelope.type} of schema version {envelope.schemaversion}")
        except Exception as error:  # noqa: BLE001 - an unknown version or a failing upcast: a newer program may know it
            return self._after_error(message, envelope, error)
        try:
            with span(f"handle {envelope.type}", envelope.traceparent, kind=SpanKind.CONSUMER) as handling:
                cause = msgspec.structs.replace(envelope, traceparent=handling.traceparent)
                return await self._handlers[envelope.type](event, cause)
        except StorageUnusable as error:
            return await self._wait_for_storage(message, error)
        except Exception as error:  # noqa: BLE001 - a handler's error is this message's, not the loop's
            return self._after_error(message, envelope, error)
        finally:
            CONSUMER_DURATION.record(
                time.monotonic() - began,
                topic=self._terms.topic,
                subscription=self._terms.name,
                type=envelope.type,
            )

    async def _wait_for_storage(self, message: ReceivedMessage, error: StorageUnusable) -> Release:
        """Pause and give the message back unburnt: a full disk is no message's fault."""
        log.error("handler_storage_unusable", **self.ids(message), **describe(error))
        await asyncio.sleep(STORAGE_PAUSE_S)
        return Release()

    def _after_error(self, message: ReceivedMessage, envelope: Envelope, error: Exception) -> Settlement:
        log.error(
            "handler_failed", envelope_id=envelope.id, subject=envelope.subject, **self.ids(message), **describe(error)
        )
        if message.attempt >= self._terms.max_attempts:
            return DeadLetter(f"handler failed {message.attempt} times: {type(error).__name__}")
        return Retry(growing_pause_s(message.attempt, first_s=FIRST_RETRY_S, longest_s=LONGEST_RETRY_S))

    def _within_attempts(self, message: ReceivedMessage, settlement: Settlement | Release) -> Settlement | Release:
        if isinstance(settlement, Retry) and message.attempt >= self._terms.max_attempts:
            return DeadLetter(f"asked for a retry {message.attempt} times")
        return settlement


class _History:
    """The commit ids of the envelopes seen last, by which a forged repeat shows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._commits: OrderedDict[str, str] = OrderedDict()

    def admits(self, envelope: Envelope) -> bool:
        """Remember the envelope; False if its id is known with another commit id."""
        known = self._commits.setdefault(envelope.id, envelope.commitid)
        self._commits.move_to_end(envelope.id)
        if len(self._commits) > self._limit:
            self._commits.popitem(last=False)
        return known == envelope.commitid
