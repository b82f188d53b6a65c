"""Runs' transactions: load, decide, route page by page, append.

Whatever is decided about a run goes out in one append where it fits; what does not fit follows in further ones, the
command being decided until nothing is left of it, and a crash between two is mended by whoever handles the run next.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.decider import ATTEMPTS
from zekt_common.envelope import Envelope
from zekt_common.errors import KeyDestroyed, PayloadNotFound, StreamConflict
from zekt_common.ports import EventStore, Payloads
from zekt_common.ports.payloads import INLINE_LIMIT_BYTES
from zekt_common.telemetry.tracing import span
from zekt_router.catalog_model import Service, Subscription
from zekt_router.catalogs import Catalogs
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, Content, judge_content, reads_content
from zekt_router.run import CatalogsByOwner, CloseWindows, Command, RoutePage
from zekt_router.run_batch import Batch, tell
from zekt_router.run_memory import RunMemory
from zekt_router.run_model import Message
from zekt_router.run_state import Item, Run

CommandOf = Callable[[CatalogsByOwner], Command]
"""Makes the command once the catalogs that it is decided by are known."""

_RACES: Final = 2 * ATTEMPTS


class Runs:
    """Carries out commands on runs; a repeat finds everything decided and appends nothing."""

    def __init__(self, store: EventStore, payloads: Payloads, catalogs: Catalogs) -> None:
        self._store = store
        self._payloads = payloads
        self._catalogs = catalogs
        self._memory = RunMemory(store)
        self._judging = asyncio.Lock()

    async def execute(self, stream: str, owner_id: int, command: CommandOf, cause: Envelope) -> None:
        """Decide the command, which `owner_id` is the account of, and finish every routing that the run has open.

        Raises:
            StreamConflict: others kept appending to the run.
        """
        await self._insist(stream, [owner_id], command, cause)

    async def close(self, stream: str, through: datetime) -> bool:
        """Close the run's windows that end by `through`; return False if the run has to be looked at again.

        Raises:
            StreamConflict: others kept appending to the run.
        """
        at = await self._memory.load(stream)
        if at.last is None:
            return True
        with span("close_windows", at.last.traceparent) as closing:
            cause = msgspec.structs.replace(at.last, traceparent=closing.traceparent)
            run = await self._insist(
                stream, (), lambda catalogs: CloseWindows(through=through, catalogs=catalogs), cause
            )
        return not run.awaits_a_close

    async def _insist(self, stream: str, owner_ids: Collection[int], command: CommandOf, cause: Envelope) -> Run:
        for _ in range(_RACES - 1):
            try:
                return await self._transact(stream, owner_ids, command, cause)
            except StreamConflict:
                continue
        return await self._transact(stream, owner_ids, command, cause)

    async def _transact(self, stream: str, owner_ids: Collection[int], command: CommandOf, cause: Envelope) -> Run:
        batch = Batch(stream, await self._memory.load(stream), cause)
        owners = {*owner_ids, *batch.run.owner_ids}
        given = command({owner_id: await self._catalogs.latest(owner_id) for owner_id in owners})
        await self._finish_routing(batch)
        while await self._decide(batch, given):
            await self._finish_routing(batch)
        await self._append(batch)
        return batch.run

    async def _finish_routing(self, batch: Batch) -> None:
        while (item := batch.run.unfinished()) is not None:
            await self._decide(batch, await self._route(batch, item))

    async def _decide(self, batch: Batch, command: Command) -> bool:
        if batch.is_full:
            await self._append(batch)
        return batch.decide(command)

    async def _route(self, batch: Batch, item: Item) -> RoutePage:
        completion = batch.run.attempts[item.run_attempt].completion
        catalog = await self._catalogs.at(completion.owner_id, item.catalog_version)
        subscriptions = catalog.page(completion.repository_id, completion.workflow_path, item.after)
        held = batch.run.messages.get(item.message_id) if item.message_id else None
        return RoutePage(
            item=item,
            catalog=catalog,
            targets=await self._catalogs.targets(subscriptions),
            content_refusals=await self._checked(batch, held.message, catalog, subscriptions) if held else {},
        )

    async def _checked(
        self, batch: Batch, message: Message, catalog: CatalogAt, subscriptions: Sequence[Subscription]
    ) -> dict[str, Blocked]:
        """Return the services of these subscriptions whose rules forbid the message's payload, each judged once."""
        refusals = batch.content_refusals.setdefault(message.message_id, {})
        services = {each.service_slug: catalog.service_of(each) for each in subscriptions}
        unjudged = [service for slug, service in services.items() if slug not in refusals and reads_content(service)]
        if unjudged:
            content = await self._content(message)
            for service in unjudged:
                refusals[service.slug] = await self._judge(service, content, message.size_bytes)
        return {slug: refusal for slug, refusal in refusals.items() if refusal is not None}

    async def _judge(self, service: Service, content: Content, size_bytes: int) -> Blocked | None:
        """Judge large payloads in a thread, one at a time: validating half a megabyte can take seconds."""
        if size_bytes <= INLINE_LIMIT_BYTES:
            return judge_content(service, content)
        async with self._judging:
            return await asyncio.to_thread(judge_content, service, content)

    async def _content(self, message: Message) -> Content:
        if message.payload is not None:
            return Content(msgspec.json.decode(message.payload))
        if message.payload_ref is None:
            return Content(available=False)
        try:
            stored = await self._payloads.get(message.payload_ref.account_id, message.payload_ref.sha256)
        except (PayloadNotFound, KeyDestroyed):
            return Content(available=False)
        return Content(msgspec.json.decode(stored))

    async def _append(self, batch: Batch) -> None:
        if not batch.events:
            return
        stored = await self._store.append(batch.stream, batch.wrapped(), expected_version=batch.version)
        tell(batch, stored[-1].time)
        batch.begin_anew(stored[-1].version)
        self._memory.keep(batch.stream, batch.run, stored[-1])
