"""Noticing events that were committed longer after their stamp than the horizon allows for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from zekt_common.adapters.cosmos_container import Item
from zekt_common.envelope import Envelope
from zekt_common.telemetry.metrics import COSMOS_LATE_COMMITS

IMPORTED = "imported"
"""On the items of events that another engine stamped long before they were written here."""
REMEMBERED = 4096

log = structlog.get_logger()


class LateCommits:
    """Logs and counts each late commit once: who relied on the horizon may have decided without it."""

    def __init__(self, container: str, margin: timedelta) -> None:
        self._container = container
        self._margin = margin
        self._known: set[str] = set()

    def notice(self, items: Sequence[Item], events: Sequence[Envelope]) -> None:
        """Look at a page of the change feed, whose items say in which second each was committed."""
        for item, event in zip(items, events, strict=True):
            late_s = (datetime.fromtimestamp(item["_ts"], UTC) - event.time - self._margin).total_seconds()
            if late_s > 0 and IMPORTED not in item and event.id not in self._known:
                self._report(event.id, late_s)

    def _report(self, id_: str, late_s: float) -> None:
        if len(self._known) == REMEMBERED:
            self._known.clear()
        self._known.add(id_)
        log.error("event_committed_late", container=self._container, envelope_id=id_, beyond_margin_s=round(late_s, 1))
        COSMOS_LATE_COMMITS.add(container=self._container)
