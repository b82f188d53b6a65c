"""The App's own hook: its delivery log and redelivery."""

from functools import partial
from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import delivery_json
from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.errors import GitHubError, not_found
from zekt_sandbox.github.model import HookDelivery
from zekt_sandbox.github.pages import link, per_page

routes = web.RouteTableDef()
_CURSOR = "v1_"


@routes.get("/app/hook/deliveries")
async def list_deliveries(request: web.Request) -> web.Response:
    """The App's deliveries, newest first, paged by cursor."""
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    upto, size = _cursor(request.query.get("cursor")), per_page(request)
    deliveries = reversed(core.state.deliveries.values())
    older = [one for one in deliveries if _of_app(one) and (upto is None or one.id <= upto)]
    headers = None
    if len(older) > size:
        headers = {"Link": link(request, {"next": {"cursor": f"{_CURSOR}{older[size].id}"}})}
    return web.json_response([delivery_json(one) for one in older[:size]], headers=headers)


@routes.get(r"/app/hook/deliveries/{delivery_id:\d+}")
async def get_delivery(request: web.Request) -> web.Response:
    """One delivery with its request and response."""
    return web.json_response(_full_json(_delivery(request)))


@routes.post(r"/app/hook/deliveries/{delivery_id:\d+}/attempts")
async def redeliver(request: web.Request) -> web.Response:
    """Send a delivery again, after this answer, with the same guid."""
    delivery = _delivery(request)
    sender = request.config_dict[CORE].sender
    sender.later(partial(sender.redeliver, delivery))
    return web.json_response({}, status=202)


def _of_app(delivery: HookDelivery) -> bool:
    return delivery.hook.target_type == "integration"


def _delivery(request: web.Request) -> HookDelivery:
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    found = core.state.deliveries.get(int(request.match_info["delivery_id"]))
    if found is None or not _of_app(found):
        raise not_found()
    return found


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix(_CURSOR)
    if not (number.isascii() and number.isdigit()):
        raise GitHubError(422, "Invalid cursor")
    return int(number)


def _full_json(delivery: HookDelivery) -> dict[str, Any]:
    return {
        **delivery_json(delivery),
        "url": delivery.hook.url,
        "request": {"headers": delivery.headers, "payload": delivery.payload()},
        "response": {"headers": delivery.response_headers, "payload": delivery.response_body},
    }
