"""Copying data keys and payloads: neither is opened on the way, since both engines wrap and seal alike."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from zekt_cli.exits import CommandFailed, Exit
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.adapters.key_wrapping import MasterKey, WrongMasterKey
from zekt_common.adapters.master_key_settings import KEYVAULT_URL, MASTER_KEY_FILE
from zekt_common.adapters.sqlite_export import SqliteExport, StoredPayload
from zekt_common.errors import DocumentConflict

_AT_ONCE: Final = 16


async def check_master_key(source: SqliteExport, master: MasterKey) -> None:
    """Pass if the master key opens one data key of each generation, since they are copied as they are wrapped.

    Raises:
        CommandFailed: 2 when it is another one.
        StorageUnusable: it cannot be used.
    """
    keys = source.keys()
    for key in {key.generation: key for key in keys if not key.is_destroyed}.values():
        try:
            await master.unwrap(key.generation, key.wrapped, key.binding)
        except WrongMasterKey as error:
            reason = f"{MASTER_KEY_FILE} or {KEYVAULT_URL} names another master key than wraps the data keys here"
            raise CommandFailed(Exit.USAGE, f"{reason}: {error}") from None


async def copy_keys(source: SqliteExport, target: CosmosImport) -> int:
    """Copy the data keys as they are wrapped, destroyed ones too, and return how many there are.

    Raises:
        CommandFailed: 1 when an account has another key there.
    """
    keys = source.keys()
    try:
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            await asyncio.gather(*(target.add_key(key) for key in some))
    except DocumentConflict as error:
        raise CommandFailed(Exit.CHECK_FAILED, f"ZEKT_COSMOS_DATABASE: {error}") from None
    return len(keys)


async def copy_payloads(source: SqliteExport, target: BlobContainer, *, now: int) -> int:
    """Copy what has not expired at `now` (in microseconds), sealed as it is, and return how much that is.

    Raises:
        CommandFailed: 1 when something is missing there afterwards.
    """
    there = await _expiries(target)
    wanted: dict[str, int] = {}
    for some in _groups(source.payloads(now=now)):
        missing = [each for each in some if there.get(_name(each), 0) < each.expires_at]
        await asyncio.gather(*(_place(target, each) for each in missing))
        wanted.update((_name(each), each.expires_at) for each in some)
    there = await _expiries(target)
    lost = [name for name, expires_at in wanted.items() if there.get(name, 0) < expires_at]
    if lost:
        raise CommandFailed(Exit.CHECK_FAILED, f"payloads did not arrive ({len(lost)}, {lost[0]} first): copy again")
    return len(wanted)


async def _place(target: BlobContainer, payload: StoredPayload) -> None:
    """Store the payload, or let the one that is there live as long."""
    name = _name(payload)
    while not await target.create(name, payload.body, payload.expires_at):
        seen = await target.find(name)
        if seen and (seen.expires_at >= payload.expires_at or await target.extend(seen, payload.expires_at)):
            return


async def _expiries(target: BlobContainer) -> dict[str, int]:
    return {blob.name: blob.expires_at async for blob in target.listing()}


def _groups(payloads: Iterator[StoredPayload]) -> Iterator[Sequence[StoredPayload]]:
    group: list[StoredPayload] = []
    for payload in payloads:
        group.append(payload)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    yield group


def _name(payload: StoredPayload) -> str:
    return f"{payload.account_id}/{payload.sha256}"
