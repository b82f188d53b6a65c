"""Receiving what is there, however long a busy machine takes over bringing it."""

import asyncio
from typing import Final

from libs.common.tests.patience import PATIENCE_S

from zekt_common.ports import ReceivedMessage, Receiver

AT_ONCE: Final = 100


async def take(receiver: Receiver, count: int, *, limit: int = AT_ONCE) -> list[ReceivedMessage]:
    """Receive until so many have come; more that come with them, up to `limit` in all, are returned too."""
    taken: list[ReceivedMessage] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(taken) < count:
            taken += await receiver.receive(max(limit, count) - len(taken), timeout_s=PATIENCE_S)
    return taken


async def take_one(receiver: Receiver) -> ReceivedMessage:
    """Receive the only message that is there."""
    (message,) = await take(receiver, 1)
    return message


async def take_just(receiver: Receiver, count: int) -> list[ReceivedMessage]:
    """Receive so many, and ask for no more."""
    return await take(receiver, count, limit=count)


async def finds_nothing(receiver: Receiver) -> bool:
    """Look once whether nothing can be received now."""
    return await receiver.receive(AT_ONCE, timeout_s=0) == []
