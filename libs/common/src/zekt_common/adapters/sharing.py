"""What a process opens once however many of its services use it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

Resource = TypeVar("Resource")


class _Share:
    """An open resource and how many use it."""

    def __init__(self) -> None:
        self.users = 0
        self.opening = asyncio.Lock()
        self.opened = AsyncExitStack()
        self.resource: Any = None


_shares: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Share] = {}


@asynccontextmanager
async def shared(
    key: Hashable, open_resource: Callable[[], AbstractAsyncContextManager[Resource]]
) -> AsyncIterator[Resource]:
    """Enter with the resource that all in this loop who name the same key have; the last to leave closes it."""
    place = (asyncio.get_running_loop(), key)
    share = _shares.setdefault(place, _Share())
    share.users += 1
    try:
        async with share.opening:
            if share.resource is None:
                share.resource = await share.opened.enter_async_context(open_resource())
        yield share.resource
    finally:
        share.users -= 1
        if share.users == 0:
            del _shares[place]
            await share.opened.aclose()
