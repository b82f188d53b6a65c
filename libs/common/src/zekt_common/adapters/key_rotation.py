"""Rotating the master key while everybody uses it: a new generation first, then every data key wrapped anew under it.

Each record is replaced on condition that it is still what was read, so a key that is destroyed meanwhile stays
destroyed. What was done is done: a rotation that was cut short is gone on with, not begun again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

import msgspec

from zekt_common.adapters.key_wrapping import KeyRecords, MasterKey, WrappedKey, WrongMasterKey

AT_ONCE: Final = 32
SETTLES_WITHIN: Final = timedelta(minutes=15)
"""Longer than anybody who began to wrap a key under the generation before may take to store it."""


class Standing(msgspec.Struct, frozen=True, rename="camel"):
    """How many data keys are wrapped under the newest generation, and how many under which others."""

    generation: str
    generations: Sequence[str]
    wrapped: int
    under_others: Mapping[str, int]

    @property
    def openable(self) -> set[str]:
        """The names in records that may open: of the generations there are, or none, as before there were several."""
        return {"", *self.generations}


class Rotation(msgspec.Struct, frozen=True, rename="camel"):
    """What a rotation did: `resumed` says that it made no generation, since one waited to be used everywhere."""

    generation: str
    resumed: bool
    rewrapped: int
    unopened: int
    under_others: Mapping[str, int]


class Retirement(msgspec.Struct, frozen=True, rename="camel"):
    """What was dropped, and how many keys are wrapped under generations that therefore were not."""

    generation: str
    retired: Sequence[str]
    kept: Mapping[str, int]
    settles_at: datetime | None = None


class _Outcome(Enum):
    REWRAPPED = auto()
    OVERTAKEN = auto()
    UNOPENED = auto()


async def standing(records: KeyRecords, master: MasterKey) -> Standing:
    """Return what is wrapped under which generation."""
    names = [each.name for each in await master.generations()]
    counts = await records.counts()
    others = {name: count for name, count in counts.items() if name != names[-1]}
    return Standing(names[-1], names, counts.get(names[-1], 0), others)


async def rotate(records: KeyRecords, master: MasterKey, *, adds: bool = True) -> Rotation:
    """Wrap every data key under a new generation, or under the newest where that is not done yet, or nothing `adds`.

    Raises:
        StorageUnusable: the store or the master key cannot be used; what is done stays done.
    """
    before = await standing(records, master)
    _check_ours(before, records.place)
    waits = len(before.generations) > 1 and any(name in before.openable for name in before.under_others)
    if adds and not waits:
        await master.renew()
    outcomes = await _rewrap_all(records, master)
    await records.forget_replaced()
    after = await standing(records, master)
    return Rotation(
        generation=after.generation,
        resumed=waits,
        rewrapped=outcomes[_Outcome.REWRAPPED],
        unopened=outcomes[_Outcome.UNOPENED],
        under_others=after.under_others,
    )


async def retire(
    records: KeyRecords, master: MasterKey, *, now: datetime, settles_within: timedelta = SETTLES_WITHIN
) -> Retirement:
    """Drop the generations before the newest, those under which nothing is wrapped, once that one has settled.

    Raises:
        StorageUnusable: the store or the master key cannot be used.
    """
    *older, newest = await master.generations()
    counts = await records.counts()
    kept = {name: count for name, count in counts.items() if name != newest.name}
    settles_at = newest.since + settles_within
    if older and now < settles_at:
        return Retirement(newest.name, [], kept, settles_at)
    strange = counts.keys() - {newest.name, *(each.name for each in older)}  # they may be under any
    retired = [] if strange else [each.name for each in older if each.name not in counts]
    if retired:
        await master.retire(retired)
    return Retirement(newest.name, retired, kept)


def _check_ours(found: Standing, place: str) -> None:
    """Refuse to go on with a master key under which nothing here is wrapped."""
    if found.under_others and not found.wrapped and not found.openable & found.under_others.keys():
        names = ", ".join(found.under_others)
        raise WrongMasterKey(f"{place} was written under another master key (generation {names}): name that one")


async def _rewrap_all(records: KeyRecords, master: MasterKey) -> Counter[_Outcome]:
    """Go over the records until none is found that could be wrapped anew: others store while we go."""
    total = Counter[_Outcome]()
    while True:
        newest = (await master.generations())[-1].name
        outcomes = Counter[_Outcome]()
        async for group in _groups(records.under_others(newest)):
            outcomes.update(await asyncio.gather(*(_rewrap(record, records, master) for record in group)))
        total[_Outcome.REWRAPPED] += outcomes[_Outcome.REWRAPPED]
        total[_Outcome.UNOPENED] = outcomes[_Outcome.UNOPENED]
        if not outcomes[_Outcome.REWRAPPED] and not outcomes[_Outcome.OVERTAKEN]:
            return total


async def _rewrap(record: WrappedKey, records: KeyRecords, master: MasterKey) -> _Outcome:
    try:
        secret = await master.unwrap(record.generation, record.wrapped, record.binding)
    except WrongMasterKey:
        return _Outcome.UNOPENED
    generation, wrapped = await master.wrap(secret, record.binding)
    anew = msgspec.structs.replace(record, generation=generation, wrapped=wrapped)
    return _Outcome.REWRAPPED if await records.replace(record, anew) else _Outcome.OVERTAKEN


async def _groups(records: AsyncIterator[WrappedKey]) -> AsyncIterator[Sequence[WrappedKey]]:
    group: list[WrappedKey] = []
    async for record in records:
        group.append(record)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group
