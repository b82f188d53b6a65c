"""GitHub's pagination: page and per_page, and a Link header that says where the others are."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

Item = TypeVar("Item")
DEFAULT_PER_PAGE = 30
MAX_PER_PAGE = 100


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() else default


def per_page(request: web.Request) -> int:
    """How many items a page has, never over GitHub's 100."""
    return min(_number(request, "per_page", DEFAULT_PER_PAGE), MAX_PER_PAGE)


def link(request: web.Request, relations: dict[str, dict[str, str | int]]) -> str:
    """A Link header: this request's address with some of its query replaced, for each relation."""
    url = request.url.origin().with_path(request.path).with_query(request.query)
    return ", ".join(f'<{url.update_query(changes)}>; rel="{name}"' for name, changes in relations.items())


def page(
    request: web.Request, items: Sequence[Item], render: Callable[[Item], dict[str, Any]], key: str | None = None
) -> web.Response:
    """One page of `items`, as a bare list or under `key` beside `total_count`."""
    size, number = per_page(request), _number(request, "page", 1)
    last = max(1, -(-len(items) // size))
    shown = [render(item) for item in items[(number - 1) * size : number * size]]
    relations: dict[str, dict[str, str | int]] = {}
    if number > 1:
        relations |= {"prev": {"page": number - 1}, "first": {"page": 1}}
    if number < last:
        relations |= {"next": {"page": number + 1}, "last": {"page": last}}
    headers = {"Link": link(request, relations)} if relations else None
    return web.json_response(shown if key is None else {"total_count": len(items), key: shown}, headers=headers)
