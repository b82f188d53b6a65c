"""Control calls over what happens."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import delivery_json
from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.control_body import Body, controls
from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.dispatch_log import dispatch_json
from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.model import HookDelivery
from zekt_sandbox.github.oidc import AUDIENCE
from zekt_sandbox.github.resources import run_json
from zekt_sandbox.github.runs import RunOptions, SendOptions
from zekt_sandbox.github.traffic import FaultOptions, TokenOptions

routes = web.RouteTableDef()
_CREATED = 201
_RUN = r"/runs/{run_id:\d+}"


@routes.post("/runs")
async def start_run(request: web.Request) -> web.Response:
    """Start a run."""
    body = await Body.read(request)
    repository, workflow, send = (
        body.required("repository"),
        body.required("workflow"),
        body.optional("send", default=True),
    )
    run = await controls(request).start_run(repository, workflow, send=send, **body.rest(RunOptions))
    return web.json_response(run_json(run), status=_CREATED)


@routes.post(_RUN + "/complete")
async def complete_run(request: web.Request) -> web.Response:
    """End a run; with `send` false, answer with the signed requests instead of sending them."""
    body, run_id = await Body.read(request), int(request.match_info["run_id"])
    conclusion, send = body.optional("conclusion", default="success"), body.optional("send", default=True)
    options = body.rest(SendOptions)
    if send:
        deliveries = await controls(request).complete_run(run_id, conclusion=conclusion, **options)
    else:
        through = options.get("through")
        deliveries = controls(request).complete_run_unsent(run_id, conclusion=conclusion, through=through)
    run = request.config_dict[CORE].state.run(run_id)
    return web.json_response({"run": run_json(run), "deliveries": [_delivery(one) for one in deliveries]})


@routes.post(_RUN + "/rerun")
async def rerun(request: web.Request) -> web.Response:
    """Start another attempt of a run."""
    body = await Body.read(request)
    send = body.optional("send", default=True)
    body.end()
    run = await controls(request).rerun(int(request.match_info["run_id"]), send=send)
    return web.json_response(run_json(run), status=_CREATED)


@routes.post("/events")
async def send_event(request: web.Request) -> web.Response:
    """Send an event of any kind through the App's hook."""
    body = await Body.read(request)
    event, payload = body.required("event"), body.required("payload")
    body.end()
    return web.json_response(delivery_json(await controls(request).send_event(event, payload)), status=_CREATED)


@routes.post("/oidc/tokens")
async def mint_oidc_token(request: web.Request) -> web.Response:
    """Mint an OIDC token for a run."""
    body = await Body.read(request)
    run_id = body.required("run_id")
    return web.json_response({"token": controls(request).mint_oidc_token(run_id, **body.rest(TokenOptions))})


@routes.get(r"/oidc/request/{run_id:\d+}")
async def request_oidc_token(request: web.Request) -> web.Response:
    """What a job gets from `ACTIONS_ID_TOKEN_REQUEST_URL`."""
    audience = request.query.get("audience", AUDIENCE)
    token = controls(request).mint_oidc_token(int(request.match_info["run_id"]), audience=audience)
    return web.json_response({"value": token})


@routes.post("/oidc/rotate")
async def rotate_oidc_key(request: web.Request) -> web.Response:
    """Sign with a new key."""
    body = await Body.read(request)
    retire_old = body.optional("retire_old", default=False)
    body.end()
    return web.json_response({"kid": controls(request).rotate_oidc_key(retire_old=retire_old)})


@routes.post("/workflow_tokens")
async def mint_workflow_token(request: web.Request) -> web.Response:
    """Mint a `GITHUB_TOKEN`."""
    body = await Body.read(request)
    repository = body.required("repository")
    body.end()
    token = controls(request).mint_workflow_token(repository)
    return web.json_response({"token": token.value, "expires_at": iso(token.expires_at)}, status=_CREATED)


@routes.post("/tokens/revoke")
async def revoke_tokens(request: web.Request) -> web.Response:
    """Revoke one token, those of an installation, or all."""
    body = await Body.read(request)
    installation_id, token = body.optional("installation_id"), body.optional("token")
    body.end()
    revoked = controls(request).revoke_tokens(installation_id=installation_id, token=token)
    return web.json_response({"revoked": revoked})


@routes.get("/dispatches")
async def list_dispatches(request: web.Request) -> web.Response:
    """Every raw POST received, with counts; waits first when asked to."""
    query, log = request.query, request.config_dict[CORE].log
    repository, since = query.get("repository"), int(query.get("since", "0"))
    if "wait" in query:
        await log.wait(int(query["wait"]), repository, float(query.get("timeout_s", "10")))
    found = log.select(repository, since)
    answer: dict[str, Any] = {"received": len(found), "accepted_in_all": log.accepted(repository)}
    if query.get("counts_only") != "true":
        answer["dispatches"] = [dispatch_json(one) for one in found]
    return web.json_response(answer)


@routes.delete("/dispatches")
async def clear_dispatches(request: web.Request) -> web.Response:
    """Forget the dispatches received."""
    controls(request).clear_dispatches()
    return web.Response(status=204)


@routes.get("/faults")
async def list_faults(request: web.Request) -> web.Response:
    """The faults ordered and how often each was used."""
    return web.json_response([fault.view() for fault in controls(request).faults()])


@routes.post("/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Order a fault."""
    body = await Body.read(request)
    kind = body.required("kind")
    return web.json_response(controls(request).add_fault(kind, **body.rest(FaultOptions)).view(), status=_CREATED)


@routes.delete("/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Switch all faults off."""
    controls(request).clear_faults()
    return web.Response(status=204)


@routes.get("/limits")
async def get_limits(request: web.Request) -> web.Response:
    """The rate limits in force."""
    return web.json_response(asdict(controls(request).set_limits()))


@routes.patch("/limits")
async def set_limits(request: web.Request) -> web.Response:
    """Change rate limits."""
    body = await Body.read(request)
    return web.json_response(asdict(controls(request).set_limits(**body.members())))


@routes.post("/clock")
async def advance_clock(request: web.Request) -> web.Response:
    """Move the clock."""
    body = await Body.read(request)
    seconds = body.required("advance_s")
    body.end()
    if not isinstance(seconds, int | float):
        raise InvalidControlError("'advance_s' is a number of seconds")
    controls(request).advance_clock(seconds)
    return web.json_response({"now": iso(request.config_dict[CORE].state.clock.now())})


@routes.get("/deliveries")
async def list_deliveries(request: web.Request) -> web.Response:
    """The webhooks sent, through all hooks, oldest first."""
    return web.json_response([delivery_json(one) for one in controls(request).deliveries()])


def _delivery(delivery: HookDelivery) -> dict[str, Any]:
    request = {"url": delivery.hook.url, "headers": delivery.headers, "body": delivery.body.decode()}
    return {**delivery_json(delivery), "request": request}
