"""Whether what a part of the engine needs of Azure can be used right now, asked at most every other second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from zekt_common.errors import BackendUnavailable, StorageUnusable

ANSWERS_WITHIN_S: Final = 4.0
REMEMBERED_S: Final = 2.0

Ask = Callable[[], Awaitable[object]]


class AzureReadiness:
    """Asks each service what raises `StorageUnusable` while it cannot be used; `asked` goes by the setting's name."""

    def __init__(self, asked: dict[str, Ask], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._asked = asked
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._known_until = 0.0
        self._troubles: Sequence[str] = ()

    async def troubles(self) -> Sequence[str]:
        """Return what is wrong, a sentence for each service that cannot be used; none when all can."""
        async with self._asking:
            if self._monotonic() >= self._known_until:
                answers = await asyncio.gather(*(_trouble(name, ask) for name, ask in self._asked.items()))
                self._troubles = [answer for answer in answers if answer]
                self._known_until = self._monotonic() + REMEMBERED_S
        return self._troubles


async def check_usable(parts: Iterable[AzureReadiness]) -> None:
    """Pass if everything that the parts need can be used.

    Raises:
        BackendUnavailable: it says of every service that cannot be used which setting leads there.
    """
    answers = await asyncio.gather(*(part.troubles() for part in parts))
    if troubles := dict.fromkeys(trouble for answer in answers for trouble in answer):
        raise BackendUnavailable("; ".join(troubles))


async def _trouble(setting: str, ask: Ask) -> str:
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await ask()
    except TimeoutError:
        return f"{setting}: no answer within {ANSWERS_WITHIN_S:g} s"
    except StorageUnusable as error:
        return str(error)
    return ""
