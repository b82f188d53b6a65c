"""The container of the payloads."""

from collections.abc import Sequence

from zekt_cli.provision.change import Change
from zekt_common.adapters.blob_container import CONTAINER, BlobContainer


async def plan(container: BlobContainer) -> Sequence[Change]:
    """Return what the storage account lacks.

    Raises:
        BackendUnavailable: the account cannot be reached, or refuses us.
    """
    if await container.exists():
        return []
    return [Change("+", "blob container", CONTAINER, container.ensure)]
