"""One Cosmos container as the adapters use it: items in, items out, our errors, and the price of every answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy

from zekt_common.adapters.cosmos_errors import EXISTS, FOUND_NOT, SETTING, CosmosRefused, CosmosUnavailable, translated
from zekt_common.telemetry.metrics import COSMOS_REQUEST_CHARGE

ATTEMPTS: Final = 3
FIRST_PAUSE_S: Final = 0.05
PAGE: Final = 1000

Item = Mapping[str, Any]
Operation = tuple[str, tuple[Any, ...], Mapping[str, Any]]
Hook = Callable[[Mapping[str, Any], Any], None]
Answer = TypeVar("Answer")


class CosmosContainer:
    """Asks again, a little later, when an answer is lost or the server is busy for a moment.

    So does the SDK: a write that went through may answer as if somebody else had been first. Whoever writes on a
    condition puts a token of its own into the item and looks whose it is.
    """

    def __init__(self, name: str, proxy: ContainerProxy, setting: str = SETTING) -> None:
        self.name = name
        self.proxy = proxy
        self._setting = setting

    async def read(self, partition: str, id_: str) -> Item | None:
        """Return the item, or None."""
        try:
            return await self.ask("read", lambda hook: self.proxy.read_item(id_, partition, response_hook=hook))
        except CosmosRefused as refused:
            if refused.status == FOUND_NOT:
                return None
            raise

    async def create(self, item: dict[str, Any]) -> Item:
        """Create the item; 409 if there is one."""
        return await self.ask("create", lambda hook: self.proxy.create_item(item, response_hook=hook))

    async def create_or_keep(self, partition: str, item: dict[str, Any]) -> Item:
        """Return the item that is there, creating it if there is none: the first to come wins."""
        try:
            return await self.create(item)
        except CosmosRefused as refused:
            if refused.status == EXISTS and (kept := await self.read(partition, item["id"])) is not None:
                return kept
            raise

    async def upsert(self, item: dict[str, Any]) -> Item:
        """Write the item, whatever is there."""
        return await self.ask("upsert", lambda hook: self.proxy.upsert_item(item, response_hook=hook))

    async def replace(self, item: dict[str, Any], etag: str) -> Item:
        """Write the item over this revision of it; 404 or 412 if that is not what is there."""
        return await self.ask(
            "replace",
            lambda hook: self.proxy.replace_item(
                item["id"], item, etag=etag, match_condition=MatchConditions.IfNotModified, response_hook=hook
            ),
        )

    async def delete(self, partition: str, id_: str, etag: str = "") -> None:
        """Delete the item, or this revision of it; 404 or 412 if that is not what is there."""
        condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        await self.ask("delete", lambda hook: self.proxy.delete_item(id_, partition, response_hook=hook, **condition))

    async def discard(self, partition: str, id_: str) -> None:
        """Delete the item if it is there."""
        try:
            await self.delete(partition, id_)
        except CosmosRefused as refused:
            if refused.status != FOUND_NOT:
                raise

    async def batch(self, partition: str, operations: Sequence[Operation]) -> Sequence[Item]:
        """Apply up to 100 operations to one partition, all or none, and return an answer for each."""

        def send(hook: Hook) -> Awaitable[Sequence[Item]]:
            afresh = [(kind, values, dict(condition)) for kind, values, condition in operations]  # the SDK empties them
            return self.proxy.execute_item_batch(afresh, partition, response_hook=hook)

        return await self.ask("batch", send)

    async def query(
        self, partition: str, query: str, parameters: Mapping[str, object], *, limit: int | None = None
    ) -> list[Any]:
        """Return the first `limit` results within one partition, or all, in the query's order."""

        async def gather(hook: Hook) -> list[Any]:
            results: list[Any] = []
            answers = self.proxy.query_items(
                query,
                parameters=[{"name": name, "value": value} for name, value in parameters.items()],
                partition_key=partition,
                max_item_count=min(limit or PAGE, PAGE),
                response_hook=hook,
            )
            async for result in answers:
                results.append(result)
                if len(results) == limit:
                    break
            return results

        return await self.ask("query", gather)

    async def scan(self, query: str, *, page: int = PAGE) -> AsyncIterator[Any]:
        """Yield the results from all partitions, in no order, asking for a page at a time."""
        pages = self.proxy.query_items(query, max_item_count=page).by_page()

        async def next_page(_: Hook) -> list[Any] | None:
            found = await anext(pages, None)
            return None if found is None else [item async for item in found]

        while (items := await self.ask("query", next_page)) is not None:
            for item in items:
                yield item

    async def ask(self, operation: str, request: Callable[[Hook], Awaitable[Answer]]) -> Answer:
        """Await the request, thrice at most while it fails for the moment, and record what each answer costs.

        Raises:
            CosmosRefused: the answer is a status that the caller has to make sense of.
            CosmosUnavailable: there was no answer, or none that helps.
        """
        pause_s = FIRST_PAUSE_S
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._ask_once(operation, request)
            except CosmosUnavailable as unavailable:
                if not unavailable.transient:
                    raise
            await asyncio.sleep(pause_s)
            pause_s *= 4
        return await self._ask_once(operation, request)

    async def _ask_once(self, operation: str, request: Callable[[Hook], Awaitable[Answer]]) -> Answer:
        def charge(headers: Mapping[str, Any], _: Any) -> None:
            self._charge(operation, float(headers.get("x-ms-request-charge") or 0))

        try:
            with translated(self.name, self._setting):
                return await request(charge)
        except (CosmosRefused, CosmosUnavailable) as error:
            self._charge(operation, error.charge_ru)
            raise

    def _charge(self, operation: str, charge_ru: float) -> None:
        if charge_ru:
            COSMOS_REQUEST_CHARGE.record(charge_ru, container=self.name, operation=operation)
