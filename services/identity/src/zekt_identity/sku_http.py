"""What operators alone change about an account: its SKU."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER
from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import Operator
from zekt_common.errors import StreamConflict
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_common.kit.service import Route
from zekt_identity.account import NotLinked, Order
from zekt_identity.account_http import AccountDesk, account_changed
from zekt_identity.account_terms import Sku


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    sku: Sku


class SkuDoor:
    """The route; `desk` is asked for on each request, since it exists only while the service runs."""

    def __init__(self, desk: Callable[[], AccountDesk]) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return the one there is."""
        path = r"/api/operations/identity/accounts/{account_id:\d{1,18}}/sku"
        return [Route(method="PUT", path=path, handler=self.give, requires=Operator(), max_body_bytes=1024)]

    async def give(self, request: web.Request) -> web.Response:
        """Have a person's account have this SKU; in their audit it stands with who gave it."""
        desk, account_id = self._desk(), int(request.match_info["account_id"])
        order = Order(account_id=account_id, actor=request[CALLER].actor, origin=origin_of(request), at=desk.clock())
        try:
            account = await desk.accounts.give(order, json_body(await request.read(), _Given).sku)
        except NotLinked:
            detail = "Nobody who has signed in has this GitHub user id. What others have, the catalog says."
            raise Refusal(404, "account_not_found", detail) from None
        except StreamConflict:
            raise account_changed() from None
        return json_response({"accountId": account_id, "status": account.status, "sku": account.given_sku})
