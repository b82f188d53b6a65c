"""Where Cosmos DB's errors end: what leaves the Cosmos adapters is one of ours, without the vendor's text.

The vendor's messages may quote a request, so ours are written here from status codes alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from zekt_common.errors import BackendRefused, BackendUnavailable, StorageUnusable

SETTING: Final = "ZEKT_COSMOS_ENDPOINT"

FOUND_NOT: Final = 404
EXISTS: Final = 409
CHANGED: Final = 412
TOO_LARGE: Final = 413
THROTTLED: Final = 429

_FORBIDDEN: Final = {
    401: "refuses our key or token: check {key}, or the identity's data-plane role",
    403: "forbids this: check {key} or the identity's data-plane role, the account's firewall and this clock",
}
_TRANSIENT: Final = frozenset({408, 410, 449, 500, 502, 503, 504})


class CosmosRefused(StorageUnusable):
    """Cosmos DB answered with a status that its caller has to make sense of."""

    def __init__(self, status: int, message: str, *, charge_ru: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.charge_ru = charge_ru


class CosmosUnavailable(BackendUnavailable):
    """Cosmos DB did not answer, or could not for the moment; `transient` when asking again soon may help."""

    def __init__(self, message: str, *, transient: bool, charge_ru: float = 0.0) -> None:
        super().__init__(message)
        self.transient = transient
        self.charge_ru = charge_ru


class CosmosForbids(CosmosUnavailable, BackendRefused):
    """Cosmos DB does not take our key or token, or does not let it do this."""


@contextmanager
def translated(place: str, setting: str = SETTING) -> Iterator[None]:
    """Turn the SDK's errors into ours; `place` says what was asked, such as a container's name, `setting` of whom.

    Raises:
        CosmosRefused: a status about this request: absent, existing, changed, too large or malformed.
        CosmosForbids: the account does not take our key or token.
        CosmosUnavailable: it cannot be reached or is overloaded.
    """
    try:
        yield
    except (CosmosHttpResponseError, CosmosBatchOperationError) as error:
        raise _from_status(place, setting, error) from None
    except ClientAuthenticationError as error:
        reason = f"{setting}: no token for Cosmos DB could be had ({type(error).__name__})"
        raise CosmosForbids(reason, transient=False) from None
    except AzureError as error:
        reason = f"{setting}: {place} cannot be reached ({type(error).__name__})"
        raise CosmosUnavailable(reason, transient=True) from None


def _from_status(
    place: str, setting: str, error: CosmosHttpResponseError | CosmosBatchOperationError
) -> StorageUnusable:
    status = int(error.status_code or 0)
    charge_ru = float((error.headers or {}).get("x-ms-request-charge") or 0)
    if status in _FORBIDDEN:
        reason = _FORBIDDEN[status].format(key=setting.replace("ENDPOINT", "KEY"))
        return CosmosForbids(f"{setting}: {place} {reason}", transient=False, charge_ru=charge_ru)
    if status == THROTTLED:
        reason = f"{setting}: {place} is out of request units: raise the container's throughput"
        return CosmosUnavailable(reason, transient=False, charge_ru=charge_ru)
    if status in _TRANSIENT or not status:
        reason = f"{setting}: {place} cannot answer now (status {status})"
        return CosmosUnavailable(reason, transient=True, charge_ru=charge_ru)
    return CosmosRefused(status, f"{place} answered with status {status}", charge_ru=charge_ru)
