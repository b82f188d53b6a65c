"""Where Key Vault's errors end: what leaves the adapter is one of ours, without the vendor's text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from zekt_common.adapters.master_key_settings import KEYVAULT_URL
from zekt_common.errors import BackendRefused, BackendUnavailable, StorageUnusable

MALFORMED: Final = 400
FOUND_NOT: Final = 404
ROLE: Final = "the role Key Vault Crypto Service Encryption User"


class VaultRefused(StorageUnusable):
    """Key Vault answered with a status that its caller has to make sense of."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{KEYVAULT_URL}: the vault answered with status {status}")
        self.status = status


@contextmanager
def translated() -> Iterator[None]:
    """Turn the SDK's errors into ours.

    Raises:
        VaultRefused: the key or what was sent is absent or malformed.
        BackendRefused: the vault does not take our token, or does not let us do this.
        BackendUnavailable: it cannot be reached, or is throttling us.
    """
    try:
        yield
    except (ClientAuthenticationError, HttpResponseError) as error:
        raise _from_status(error) from None
    except AzureError as error:
        raise BackendUnavailable(f"{KEYVAULT_URL}: the vault cannot be reached ({type(error).__name__})") from None
    except TimeoutError:
        raise BackendUnavailable(f"{KEYVAULT_URL}: the vault does not answer") from None
    except ValueError:  # the SDK's word for a challenge that no vault of this name would give
        raise BackendRefused(f"{KEYVAULT_URL}: what answers there is not that Key Vault") from None


def _from_status(error: HttpResponseError) -> StorageUnusable:
    match error.status_code:
        case None:
            return BackendRefused(f"{KEYVAULT_URL}: no token for Key Vault could be had ({type(error).__name__})")
        case 401:
            return BackendRefused(f"{KEYVAULT_URL}: the vault does not take our token: check the identity's tenant")
        case 403:
            needed = f"{ROLE}, the key to be enabled, and the vault's firewall to let us in"
            return BackendRefused(f"{KEYVAULT_URL}: the vault forbids this: it takes {needed}")
        case 429:
            return BackendUnavailable(f"{KEYVAULT_URL}: the vault is throttling us")
        case 400 | 404 as status:
            return VaultRefused(status)
        case status:
            return BackendUnavailable(f"{KEYVAULT_URL}: the vault cannot answer now (status {status})")
