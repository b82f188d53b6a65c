"""The administration over HTTP: who may ask, and which collection or entity a request is about."""

from xml.etree import ElementTree as ET

from aiohttp import web

from zekt_sandbox.servicebus.administration.atom import AdministrationError, error, feed
from zekt_sandbox.servicebus.administration.resources import Collection, Rules, Subscriptions, Topics
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.http import Handler
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.tokens import Authorizer

_PAGE = 100


def administration_handler(namespace: Namespace, authorizer: Authorizer) -> Handler:
    """Return a handler of the requests that `ServiceBusAdministrationClient` makes."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            _authorize(authorizer, request)
            status, answer = await _answer(namespace, request)
        except AdministrationError as refused:
            status, answer = refused.status, error(refused)
        except AmqpError as missing:
            status, answer = 404, error(AdministrationError(404, missing.description))
        text = None if answer is None else ET.tostring(answer, encoding="unicode")
        return web.Response(status=status, text=text, content_type="application/xml")

    return handle


def _authorize(authorizer: Authorizer, request: web.BaseRequest) -> None:
    try:
        authorizer.check(request.headers.get("Authorization", "").removeprefix("Bearer "), str(request.url))
    except AmqpError as refused:
        raise AdministrationError(401, refused.description) from None


async def _answer(namespace: Namespace, request: web.BaseRequest) -> tuple[int, ET.Element | None]:
    collection, name = _addressed(namespace, request.path)
    if name is None:
        if request.method != "GET":
            raise AdministrationError(405, "A collection is only listed.")
        return 200, _page(collection, request)
    match request.method:
        case "GET":
            # Of what does not exist, the service answers with an empty feed.
            return 200, collection.entries().get(name.lower(), feed(()))
        case "PUT":
            return await _put(collection, name, request)
        case "DELETE":
            _check_exists(collection, name)
            collection.delete(name)
            return 200, None
    raise AdministrationError(405, "An entity is read, put or deleted.")


async def _put(collection: Collection, name: str, request: web.BaseRequest) -> tuple[int, ET.Element | None]:
    update = "If-Match" in request.headers
    if update:
        _check_exists(collection, name)
    elif name.lower() in collection.entries():
        raise AdministrationError(409, f"The entity '{name}' already exists.")
    collection.put(name, await request.read(), update=update)
    return (200 if update else 201), collection.entries()[name.lower()]


def _check_exists(collection: Collection, name: str) -> None:
    if name.lower() not in collection.entries():
        raise AdministrationError(404, f"The entity '{name}' could not be found.")


def _addressed(namespace: Namespace, path: str) -> tuple[Collection, str | None]:
    """The collection that a path is in, and the entity's name; None for the collection itself."""
    match path.strip("/").split("/"):
        case ["$Resources", "topics"]:
            return Topics(namespace), None
        case [topic]:
            return Topics(namespace), topic
        case [topic, "subscriptions", *name] if len(name) <= 1:
            return Subscriptions(namespace.topic(topic)), next(iter(name), None)
        case [topic, "subscriptions", subscription, "rules", *name] if len(name) <= 1:
            return Rules(namespace.subscription(topic, subscription)), next(iter(name), None)
    raise AdministrationError(404, "There is no such resource.")


def _page(collection: Collection, request: web.BaseRequest) -> ET.Element:
    skip, top = (int(request.query.get(name, default)) for name, default in (("$skip", 0), ("$top", _PAGE)))
    entries = list(collection.entries().values())
    address = str(request.url.with_query(None))
    links = [("self", address)]
    if len(entries) > skip + top:
        links.append(("next", f"{address}?$skip={skip + top}&$top={top}"))
    return feed(entries[skip : skip + top], links)
