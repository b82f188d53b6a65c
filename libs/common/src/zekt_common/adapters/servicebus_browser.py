"""Looking through all that a subscription has yet to settle, without locking any of it."""

import asyncio
from collections.abc import AsyncIterator, Collection
from functools import partial

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from zekt_common.adapters.servicebus_link import SubscriptionLink
from zekt_common.adapters.servicebus_messages import address, subject
from zekt_common.adapters.servicebus_sender import TopicSender
from zekt_common.ports.bus import EVERYONE

PAGE = 250
COUNTED = 1000


class SubscriptionBrowser:
    """Peeks at one subscription, and at what waits in its topic until it is due."""

    def __init__(self, link: SubscriptionLink, sender: TopicSender, subscription: str) -> None:
        self._link, self._sender = link, sender
        self._addresses = {EVERYONE, subscription}
        self._asked: dict[asyncio.Future[set[str]], frozenset[str]] = {}
        self._scanning = asyncio.Lock()

    async def unsettled(self, subjects: Collection[str]) -> set[str]:
        """Return those of `subjects` with a message; one scan answers all who were waiting when it began."""
        if not subjects:
            return set()
        answer: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        self._asked[answer] = frozenset(subjects)
        try:
            async with self._scanning:
                if not answer.done():
                    await self._answer_all()
            return answer.result()
        finally:
            self._asked.pop(answer, None)

    async def is_empty(self) -> bool:
        """Return whether there is no message at all, looking no further than the first."""
        try:
            async for page in self._pages():
                if page:
                    return False
            return True
        finally:
            await self._sender.let_go()

    async def backlog(self) -> int:
        """Count what is in the subscription, up to `COUNTED`: each counted one travels here.

        What waits in the topic is left out, since a look there takes a connection more.
        """
        count = 0
        async for page in self._subscription_pages(after=0):
            count += len(page)
            if count >= COUNTED:
                return COUNTED
        return count

    async def _answer_all(self) -> None:
        asked = dict(self._asked)
        found = await self._find(frozenset[str]().union(*asked.values()))
        for answer, subjects in asked.items():
            if not answer.done():
                answer.set_result(found & subjects)

    async def _find(self, wanted: frozenset[str]) -> set[str]:
        found: set[str] = set()
        async for page in self._pages():
            found |= wanted.intersection(map(subject, page))
            if found == wanted:
                break
        return found

    async def _pages(self) -> AsyncIterator[list[ServiceBusReceivedMessage]]:
        """Yield what is in the subscription, then in the topic, then what has come from there meanwhile.

        In this order nothing slips by that moves during the scan: what becomes due joins the subscription at its end.
        """
        last = 0
        async for page in self._subscription_pages(after=last):
            last = _last(page)
            yield page
        async for page in self._topic_pages():
            yield [message for message in page if address(message) in self._addresses]
        async for page in self._subscription_pages(after=last):
            yield page

    async def _subscription_pages(self, *, after: int) -> AsyncIterator[list[ServiceBusReceivedMessage]]:
        while page := await self._link.perform(partial(_peek, first_sequence=after + 1)):
            yield page
            after = _last(page)

    async def _topic_pages(self) -> AsyncIterator[list[ServiceBusReceivedMessage]]:
        after = 0
        while page := await self._sender.scheduled(first_sequence=after + 1, limit=PAGE):
            yield page
            after = _last(page)


async def _peek(receiver: ServiceBusReceiver, *, first_sequence: int) -> list[ServiceBusReceivedMessage]:
    return await receiver.peek_messages(PAGE, sequence_number=first_sequence)


def _last(page: list[ServiceBusReceivedMessage]) -> int:
    return page[-1].sequence_number or 0
