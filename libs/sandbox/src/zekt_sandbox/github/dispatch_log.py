"""Every raw POST to a dispatches endpoint, in order of arrival; nothing is merged."""

import asyncio
import json
from collections import Counter
from typing import Any

from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.model import Dispatch


class DispatchLog:
    """The dispatches received, and a way to wait for the next."""

    def __init__(self) -> None:
        self.received: list[Dispatch] = []
        self._accepted: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def open(self, repository: str, received_at: float, headers: dict[str, str], body: bytes) -> Dispatch:
        """Note a POST before anything is decided about it."""
        dispatch = Dispatch(len(self.received), received_at, repository, headers, body)
        self.received.append(dispatch)
        return dispatch

    def accept(self, dispatch: Dispatch, event_type: str, repository_id: int) -> None:
        """Note that GitHub has taken the dispatch, whether or not the caller learns of it."""
        dispatch.processed, dispatch.event_type, dispatch.repository_id = True, event_type, repository_id
        self._accepted[""] += 1
        self._accepted[dispatch.repository.lower()] += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def accepted(self, repository: str | None = None) -> int:
        """How many dispatches were taken, of one repository or of all."""
        return self._accepted[(repository or "").lower()]

    async def wait(self, count: int, repository: str | None, timeout_s: float) -> bool:
        """Wait until `count` were accepted; False when time ran out first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.accepted(repository) < count:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def select(self, repository: str | None = None, since: int = 0) -> list[Dispatch]:
        """The POSTs from index `since` on, of one repository or of all."""
        wanted = None if repository is None else repository.lower()
        return [found for found in self.received[since:] if wanted is None or found.repository.lower() == wanted]

    def clear(self) -> None:
        """Forget all POSTs; indexes start again at 0."""
        self.received.clear()
        self._accepted.clear()


def dispatch_json(dispatch: Dispatch) -> dict[str, Any]:
    """A POST as the control API lists it; `client_payload` is null when the body was not an object."""
    try:
        body = json.loads(dispatch.body)
    except ValueError:
        body = None
    sent = body if isinstance(body, dict) else {}
    return {
        "index": dispatch.index,
        "received_at": iso(dispatch.received_at),
        "received_at_s": dispatch.received_at,
        "repository": dispatch.repository,
        "repository_id": dispatch.repository_id,
        "event_type": sent.get("event_type"),
        "client_payload": sent.get("client_payload"),
        "status": dispatch.status,
        "processed": dispatch.processed,
        "headers": dispatch.headers,
        "size_bytes": len(dispatch.body),
    }
