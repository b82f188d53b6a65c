"""The change feed of one key range: latest versions in commit order, continued by LSN."""

import bisect
from email.utils import parsedate_to_datetime

from zekt_sandbox.cosmos.answers import Answer, charge, listing, session
from zekt_sandbox.cosmos.calls import Call
from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.errors import bad_request
from zekt_sandbox.cosmos.pages import MAX_PAGE_BYTES, page_size
from zekt_sandbox.cosmos.partitions import Item, KeyRange
from zekt_sandbox.cosmos.scope import Scope


def read_change_feed(container: Container, call: Call) -> Answer:
    """The next page after the continuation, or 304 with the continuation to try again.

    Raises:
        CosmosError: 410, the key range was split; 400, all versions and deletes were asked for.
    """
    if "Full-Fidelity" in call.headers["A-IM"]:
        raise bad_request("this stand-in has no change feed of all versions and deletes")
    scope = Scope.read(container, call.headers)
    key_range = scope.single_range()
    items, last = _page(container, key_range, scope, call)
    headers = {
        "etag": f'"{last}"',
        "x-ms-item-count": str(len(items)),
        **charge(1 + 0.05 * len(items)),
        **session(container, key_range),
    }
    if not items:
        return Answer(304, "", headers)
    texts = [f'{item.text[:-1]},"_lsn":{item.lsn}}}' for item in items]
    return Answer(200, listing(container.rid, "Documents", texts), headers)


def _page(container: Container, key_range: KeyRange, scope: Scope, call: Call) -> tuple[list[Item], int]:
    limit, since = page_size(call.headers), _modified_since(call)
    last, size_bytes = _continuation(key_range, call), 0
    items: list[Item] = []
    log = key_range.log
    for index in range(bisect.bisect_right(log, last, key=lambda item: item.lsn), len(log)):
        item = log[index]
        # A page never ends within a transaction.
        if (len(items) >= limit or size_bytes > MAX_PAGE_BYTES) and item.lsn != last:
            return items, last
        last = item.lsn
        if not item.superseded and item.ts >= since and scope.holds(item) and not container.is_expired(item):
            items.append(item)
            size_bytes += len(item.text)
    return items, key_range.lsn


def _continuation(key_range: KeyRange, call: Call) -> int:
    token = call.headers.get("If-None-Match")
    if token is None:
        return 0
    if token == "*":
        return key_range.lsn
    try:
        return int(token.strip('"'))
    except ValueError:
        raise bad_request("The change feed's continuation is not one of this service.") from None


def _modified_since(call: Call) -> float:
    since = call.headers.get("If-Modified-Since")
    return parsedate_to_datetime(since).timestamp() if since else 0
