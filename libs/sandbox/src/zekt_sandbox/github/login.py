"""`/login/oauth/authorize`: a person says yes or no, and their browser goes back with a code."""

import html
from typing import Any

from aiohttp import web
from yarl import URL

from zekt_sandbox.github.authorization_codes import redirect_uri_mismatch
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import UnknownNameError, not_found
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.oauth_messages import OAuthError, read_parameters

routes = web.RouteTableDef()
COOKIE = "sandbox_login"
_AUTHORIZE = "/login/oauth/authorize"
_CHALLENGE_LENGTH = 43


@routes.get(_AUTHORIZE)
async def ask(request: web.Request) -> web.Response:
    """Redirect at once for the person named by `login` or by the cookie; ask who it is otherwise."""
    core = request.config_dict[CORE]
    asked = dict(request.query)
    _require_client(core, asked)
    person = None if asked.get("prompt") == "select_account" else signed_in(core, request, asked.get("login"))
    if person is None and _callback(core, asked) is not None:
        return web.Response(text=_page(core, asked), content_type="text/html")
    return _redirect(core, asked, person)


@routes.post(_AUTHORIZE)
async def decide(request: web.Request) -> web.Response:
    """Take the page's answer: who it is, and whether they authorise."""
    core = request.config_dict[CORE]
    asked = await read_parameters(request)
    _require_client(core, asked)
    person = find_person(core, asked.get("login"))
    if person is None:
        raise not_found()
    response = _redirect(core, asked, person if asked.get("authorize") == "1" else None)
    response.set_cookie(COOKIE, person.login, path="/login", httponly=True, samesite="Lax")
    return response


def signed_in(core: Core, request: web.Request, login: str | None) -> Account | None:
    """The person whom the browser belongs to: the one asked for, or the one of the sandbox's cookie."""
    return find_person(core, login or request.cookies.get(COOKIE))


def find_person(core: Core, login: str | None) -> Account | None:
    """The user called `login`; organisations do not sign in."""
    try:
        found = core.state.account(login or "")
    except UnknownNameError:
        return None
    return found if found.type == "User" else None


def choice_of_people(core: Core) -> str:
    """A selection of all users, for the pages that ask who it is."""
    logins = [html.escape(one.login) for one in core.state.accounts.values() if one.type == "User"]
    return "<select name=login>" + "".join(f"<option>{login}</option>" for login in logins) + "</select>"


def _require_client(core: Core, asked: dict[str, str]) -> None:
    if asked.get("client_id") != core.state.app.client_id or not core.state.app.callback_urls:
        raise not_found()


def _callback(core: Core, asked: dict[str, str]) -> str | None:
    """The registered callback URL that was asked for, the first one if none was; None if it is not registered."""
    registered = core.state.app.callback_urls
    wanted = asked.get("redirect_uri", registered[0])
    return wanted if wanted in registered else None


def _redirect(core: Core, asked: dict[str, str], person: Account | None) -> web.Response:
    try:
        answer: dict[str, Any] = {"code": _code(core, asked, person)}
    except OAuthError as refusal:
        answer = refusal.members()
    if "state" in asked:
        answer["state"] = asked["state"]
    callback = _callback(core, asked) or core.state.app.callback_urls[0]
    location = str(URL(callback).update_query(answer))
    return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-cache"})


def _code(core: Core, asked: dict[str, str], person: Account | None) -> str:
    callback, challenge = _callback(core, asked), asked.get("code_challenge")
    if callback is None:
        raise redirect_uri_mismatch()
    if "code_challenge_method" in asked or challenge is not None:
        _require_s256(challenge, asked.get("code_challenge_method"))
    if person is None:
        raise OAuthError("access_denied", "The user has denied your application access.")
    return core.oauth.codes.issue(person, callback, challenge)


def _require_s256(challenge: str | None, method: str | None) -> None:
    if method != "S256" or len(challenge or "") != _CHALLENGE_LENGTH:
        raise OAuthError("invalid_request", "The code_challenge MUST be 43 characters with the method S256.")


def _page(core: Core, asked: dict[str, str]) -> str:
    hidden = "".join(
        f'<input type=hidden name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in asked.items()
        if name not in ("login", "prompt")
    )
    return (
        "<!doctype html><title>Authorize Zekt</title><h1>GitHub stand-in</h1>"
        f"<form method=post action={_AUTHORIZE}>{hidden}{choice_of_people(core)}"
        "<button name=authorize value=1>Authorize</button><button name=authorize value=0>Cancel</button></form>"
    )
