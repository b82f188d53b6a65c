"""How far ingress has published: the last watermark, shared by all replicas through the views."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from zekt_common.kit.supervision import supervise
from zekt_common.ports import Put, Views

PARTITION: Final = "watermarks"
DOCUMENT: Final = "ingress"
LOOK_EVERY_S: Final = 1.0
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_decoder = msgspec.json.Decoder(datetime)


class Horizon:
    """The last watermark holds, even when it is lower than one before: ingress then publishes again from there."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._through = _NEVER
        self._listeners: list[Callable[[], None]] = []

    def notify(self, listener: Callable[[], None]) -> None:
        """Call the listener each time this process hears of a watermark."""
        self._listeners.append(listener)

    def now(self) -> datetime:
        """Return the last watermark this process knows of; the sweeper's clock."""
        return self._through

    async def move(self, through: datetime) -> None:
        """Make this the last watermark, for every replica."""
        document = Put(partition=PARTITION, id=DOCUMENT, body=msgspec.json.encode(through))
        await self._views.write([document], durable=False)
        self._through = through
        for listener in self._listeners:
            listener()

    async def through(self) -> datetime:
        """Return the last watermark that any replica has heard of."""
        document = await self._views.get(PARTITION, DOCUMENT)
        self._through = _decoder.decode(document.body) if document else _NEVER
        return self._through

    async def follow(self) -> None:
        """Keep up with other replicas until cancelled."""
        await supervise("horizon", self._look)

    async def _look(self) -> None:
        while True:
            await self.through()
            await asyncio.sleep(LOOK_EVERY_S)
