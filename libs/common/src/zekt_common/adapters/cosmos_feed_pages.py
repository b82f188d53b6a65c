"""Single pages of the change feed, as the SDK gives them: the tokens that it makes are kept, and never made here."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from zekt_common.adapters.cosmos_container import CosmosContainer, Hook, Item
from zekt_common.errors import StorageUnusable

FeedRange = dict[str, Any]


class RangePages:
    """Pages of the change feed within ranges of the container."""

    def __init__(self, container: CosmosContainer) -> None:
        self._container = container

    async def present(self, *, refresh: bool = False) -> list[FeedRange]:
        """Return the ranges of the container's partitions as they are now."""

        async def gather(_: Hook) -> list[FeedRange]:
            ranges = self._container.proxy.read_feed_ranges(force_refresh=refresh)
            return [each async for each in ranges]

        return await self._container.ask("read_feed_ranges", gather)

    async def within(self, outer: FeedRange) -> Sequence[FeedRange]:
        """Return the present ranges that make up `outer`, or `outer` itself where partitions were merged over it."""
        present = await self.present(refresh=True)
        inner = [each for each in present if await self._container.proxy.is_feed_range_subset(outer, each)]
        return inner or [outer]

    async def read(self, range_: FeedRange, token: str, limit: int) -> tuple[Sequence[Item], str]:
        """Return about `limit` items (those of one transaction stay together) and the token that continues.

        Raises:
            ValueError: the token is none of this container's.
        """
        start: dict[str, Any] = {"continuation": token} if token else {"feed_range": range_, "start_time": "Beginning"}

        async def page(hook: Hook) -> tuple[Sequence[Item], str]:
            answer: Mapping[str, Any] = {}

            def note(headers: Mapping[str, Any], body: Any) -> None:
                nonlocal answer
                answer = headers
                hook(headers, body)

            pages = self._container.proxy.query_items_change_feed(
                max_item_count=limit, response_hook=note, **start
            ).by_page()
            items = await anext(pages, None)
            found = [] if items is None else [item async for item in items]
            return found, str(answer["etag"])

        items, continued = await self._container.ask("change_feed", page)
        if not token and _is_torn(continued):
            raise StorageUnusable(f"{self._container.name}: a partition split just when its feed was begun: read again")
        return items, continued


def is_divided(token: str) -> bool:
    """Tell whether the token continues several partitions, which stand where they stand: so it is after a split."""
    return _plain(token).count(b'"token"') != 1


def _is_torn(token: str) -> bool:
    """Tell whether the SDK could not continue from this token: one begun over several partitions names them all."""
    return b'"token": null' in _plain(token)


def _plain(token: str) -> bytes:
    try:
        return base64.b64decode(token)
    except (binascii.Error, ValueError):
        return b""
