"""Ingress's routes: the doors for machines, and the operators'."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from zekt_common.auth.requirements import ActionsToken, OperatorOrOwner, WebhookSignature
from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.service import Route
from zekt_ingress import bodies, message_door, wait_door
from zekt_ingress.message_door import MessageDoor
from zekt_ingress.wait_door import WaitDoor
from zekt_ingress.webhook_door import WebhookDoor


@dataclass(frozen=True, kw_only=True)
class Doors:
    """The handlers of a running ingress, and the parts that its operators look at."""

    webhooks: WebhookDoor
    messages: MessageDoor
    waiting: WaitDoor
    operated: Operated


def routes(doors: Callable[[], Doors]) -> list[Route]:
    """Return the routes; `doors` is called per request, since doors exist only while the service runs."""

    async def receive_webhook(request: web.Request) -> web.Response:
        return await doors().webhooks.receive(request)

    async def receive_message(request: web.Request) -> web.Response:
        return await doors().messages.receive(request)

    async def wait(request: web.Request) -> web.Response:
        return await doors().waiting.wait(request)

    return [
        Route(
            method="POST",
            path="/webhooks/github",
            handler=receive_webhook,
            requires=WebhookSignature(),
            max_body_bytes=bodies.MAX_BODY_BYTES,
        ),
        Route(
            method="POST",
            path="/api/events/receive",
            handler=receive_message,
            requires=ActionsToken(),
            max_body_bytes=message_door.ROUTE_BODY_BYTES,
        ),
        Route(
            method="POST",
            path="/api/operations/ingress/wait",
            handler=wait,
            requires=OperatorOrOwner(),
            max_body_bytes=wait_door.MAX_BODY_BYTES,
        ),
        *operations_routes("ingress", lambda: doors().operated),
    ]
