"""Where the master key is: in a file, or in Key Vault. Nothing here needs Azure's packages."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from zekt_common.adapters.master_key_file import NO_STRANGERS, check_key_file
from zekt_common.auth.secret_file import OWNER_ALONE
from zekt_common.errors import StorageUnusable
from zekt_common.kit.settings import EnvironmentReader

MASTER_KEY_FILE: Final = "ZEKT_MASTER_KEY_FILE"
KEYVAULT_URL: Final = "ZEKT_KEYVAULT_URL"
DEFAULT_FILE: Final = "master.key"
DEFAULT_VAULT_KEY: Final = "zekt"


@dataclass(frozen=True, kw_only=True)
class MasterKeySettings:
    """A key in a vault, or else in a file, which `is_made` on first use only in the data directory.

    Beside a shared engine the file is mounted, so its group may read it; on one machine its owner alone may.
    """

    file: Path | None = None
    forbidden: int = OWNER_ALONE
    is_made: bool = False
    vault_url: str = ""
    vault_key: str = DEFAULT_VAULT_KEY

    @classmethod
    def read(cls, reader: EnvironmentReader, *, shared: bool) -> "MasterKeySettings":
        """Return the settings in the reader's environment; what is wrong with them stays with the reader.

        Where the engine is `shared`, there is no default: a key made by each process would lock the others out.
        """
        file, vault = reader.optional(MASTER_KEY_FILE), reader.optional(KEYVAULT_URL)
        if file and vault:
            reader.reject(MASTER_KEY_FILE, f"is set, and so is {KEYVAULT_URL}: keep one of them")
        elif vault:
            return _in_vault(reader)
        elif file:
            return _in_file(reader, NO_STRANGERS if shared else OWNER_ALONE)
        elif shared:
            reader.reject(MASTER_KEY_FILE, f"is not set, nor is {KEYVAULT_URL}: one of them is needed")
        return cls()

    def within(self, data_dir: Path, *, is_made: bool) -> "MasterKeySettings":
        """Return the settings, or the data directory's own file where nothing is set."""
        if self.vault_url or self.file:
            return self
        return replace(self, file=data_dir / DEFAULT_FILE, is_made=is_made)


def _in_file(reader: EnvironmentReader, forbidden: int) -> MasterKeySettings:
    path = reader.path(MASTER_KEY_FILE)
    try:
        check_key_file(path, forbidden=forbidden)
    except StorageUnusable as error:
        reader.reject(MASTER_KEY_FILE, f"is unusable: {error}")
    return MasterKeySettings(file=path, forbidden=forbidden)


def _in_vault(reader: EnvironmentReader) -> MasterKeySettings:
    """Read the vault's URL, or that of a key in it without a version."""
    url = urlsplit(reader.secure_url(KEYVAULT_URL))
    match url.path.strip("/").split("/"):
        case [""]:
            name = DEFAULT_VAULT_KEY
        case ["keys", name] if name:
            pass
        case _:
            name = DEFAULT_VAULT_KEY
            reader.reject(KEYVAULT_URL, "must be a vault's URL, or that of a key: https://.../keys/NAME, no version")
    if url.scheme == "http":
        reader.reject(KEYVAULT_URL, "must be an https URL: tokens need TLS")
    return MasterKeySettings(vault_url=f"{url.scheme}://{url.netloc}", vault_key=name)


IN_DATA_DIRECTORY: Final = MasterKeySettings()
