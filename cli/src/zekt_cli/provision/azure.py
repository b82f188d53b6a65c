"""Provisioning the three services together: everything is planned, and refused if need be, before the first change."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.provision import blob, cosmos, servicebus
from zekt_cli.provision.change import Change
from zekt_cli.provision.refusals import explained
from zekt_common.adapters.azure_connections import AzureConnections
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.cosmos_client import open_cosmos

EMULATOR: Final = "usedevelopmentemulator=true"

Plan = Callable[[], Awaitable[Sequence[Change]]]


async def provision(
    ways: AzureConnections, *, dry_run: bool, max_ru: int | None = None, only: Collection[str] = ()
) -> Sequence[Change]:
    """Make what is missing, unless `dry_run`, and return it; `only` where these settings lead, if there are any.

    The topics of a Service Bus emulator come from its Config.json, so they are left alone.

    Raises:
        CommandFailed: 1 when what exists cannot be used, 3 unreachable, 5 refused; it names the setting.
    """
    async with AsyncExitStack() as stack:
        plans = await _open(stack, ways, max_ru)
        plans = {setting: plan for setting, plan in plans.items() if not only or setting in only}
        planned = await _planned(plans)
        if not dry_run:
            await _make(planned)
            _check_nothing_left(await _planned(plans))
    return [change for changes in planned.values() for change in changes]


async def _open(stack: AsyncExitStack, ways: AzureConnections, max_ru: int | None) -> dict[str, Plan]:
    """Return the plan of each service by the setting that leads there."""
    plans: dict[str, Plan] = {}
    if EMULATOR not in ways.servicebus.connection_string.lower():
        topics = await stack.enter_async_context(servicebus.administration(ways.servicebus))
        plans[ways.servicebus.setting] = partial(servicebus.plan, topics)
    plans |= await _cosmos_plans(stack, ways, max_ru)
    blobs = await stack.enter_async_context(BlobContainer(ways.blob))
    plans[ways.blob.setting] = partial(blob.plan, blobs)
    return plans


async def _cosmos_plans(stack: AsyncExitStack, ways: AzureConnections, max_ru: int | None) -> dict[str, Plan]:
    """Return one plan, or two where the data keys lie in an account of their own."""
    with explained(ways.cosmos.setting, "the account"):
        database = await stack.enter_async_context(open_cosmos(ways.cosmos))
    if ways.cosmos_keys is ways.cosmos:
        return {ways.cosmos.setting: partial(cosmos.plan, database, max_ru=max_ru)}
    with explained(ways.cosmos_keys.setting, "the data keys' account"):
        keys = await stack.enter_async_context(open_cosmos(ways.cosmos_keys))
    return {
        ways.cosmos.setting: partial(cosmos.plan, database, max_ru=max_ru, with_keys=False),
        ways.cosmos_keys.setting: partial(cosmos.plan_keys, keys, max_ru=max_ru),
    }


async def _planned(plans: dict[str, Plan]) -> dict[str, Sequence[Change]]:
    planned: dict[str, Sequence[Change]] = {}
    for setting, plan in plans.items():
        with explained(setting, "looking at what is there"):
            planned[setting] = await plan()
    return planned


async def _make(planned: dict[str, Sequence[Change]]) -> None:
    for setting, changes in planned.items():
        for change in changes:
            with explained(setting, f"{change.sign} {change.kind} {change.name}"):
                await change.make()


def _check_nothing_left(planned: dict[str, Sequence[Change]]) -> None:
    """Look again: what was made must be what was asked for."""
    left = [f"{change.kind} {change.name}" for changes in planned.values() for change in changes]
    if left:
        raise CommandFailed(Exit.CHECK_FAILED, f"made, but not found as asked for: {', '.join(left)}")
