"""How much one page of results may hold."""

from collections.abc import Mapping

from zekt_sandbox.cosmos.errors import bad_request

MAX_PAGE_BYTES = 4 * 2**20
_DEFAULT_ITEMS, _MAX_ITEMS = 100, 1000


def page_size(headers: Mapping[str, str]) -> int:
    """How many items the client takes in one page; -1 leaves it to the service.

    Raises:
        CosmosError: 400, it is no number.
    """
    try:
        asked = int(headers.get("x-ms-max-item-count") or _DEFAULT_ITEMS)
    except ValueError:
        raise bad_request("The page size is not a number.") from None
    return _MAX_ITEMS if asked < 0 else asked
