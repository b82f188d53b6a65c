"""Opening the master key that the settings choose."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from zekt_common.adapters.key_wrapping import MasterKey
from zekt_common.adapters.master_key_file import FileMasterKey, ensure_key_file
from zekt_common.adapters.master_key_settings import MASTER_KEY_FILE, MasterKeySettings
from zekt_common.errors import StorageUnusable


@asynccontextmanager
async def open_master_key(settings: MasterKeySettings) -> AsyncIterator[MasterKey]:
    """Enter with the master key once it has been found usable.

    Raises:
        StorageUnusable: it cannot be used; the message says which setting leads there, or which file it is.
    """
    if settings.vault_url:
        from zekt_common.adapters import keyvault_master_key as vault  # noqa: PLC0415 - an SDK that files never need

        connection = vault.VaultConnection(url=settings.vault_url, key=settings.vault_key)
        async with vault.open_vault_key(connection) as vault_key:
            yield vault_key
    elif settings.file is not None:
        if settings.is_made:
            ensure_key_file(settings.file)
        file_key = FileMasterKey(settings.file, forbidden=settings.forbidden)
        await file_key.check()
        yield file_key
    else:
        raise StorageUnusable(f"no master key is named: set {MASTER_KEY_FILE}")


async def troubles_of(master_key: MasterKey) -> Sequence[str]:
    """Return why the master key cannot be used, or nothing."""
    try:
        await master_key.check()
    except StorageUnusable as error:
        return [str(error)]
    return []
