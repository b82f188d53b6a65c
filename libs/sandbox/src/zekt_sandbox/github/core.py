"""The parts of one running stand-in, wired once and shared by its handlers and its controls."""

from dataclasses import dataclass

from aiohttp import web

from zekt_sandbox.github.announcer import Announcer
from zekt_sandbox.github.auth import Authenticator
from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.dispatch_log import DispatchLog
from zekt_sandbox.github.faults import Faults
from zekt_sandbox.github.hook_sender import HookSender
from zekt_sandbox.github.limits import Limits, RateLimiter
from zekt_sandbox.github.oauth import OAuth
from zekt_sandbox.github.oidc import OidcIssuer
from zekt_sandbox.github.runs import RunBook
from zekt_sandbox.github.state import AppRegistration, GitHubState, Ids


@dataclass(slots=True)
class Core:
    """Everything one stand-in consists of."""

    state: GitHubState
    auth: Authenticator
    limiter: RateLimiter
    faults: Faults
    log: DispatchLog
    sender: HookSender
    announcer: Announcer
    runs: RunBook
    oidc: OidcIssuer
    oauth: OAuth


CORE = web.AppKey("core", Core)


def build_core(app: AppRegistration, ids: Ids, limits: Limits) -> Core:
    """Wire the parts around one App."""
    clock = Clock()
    state = GitHubState(app, ids, clock)
    sender = HookSender(state)
    oauth = OAuth(clock)
    return Core(
        state=state,
        auth=Authenticator(state, oauth),
        limiter=RateLimiter(clock.now, limits),
        faults=Faults(),
        log=DispatchLog(),
        sender=sender,
        announcer=Announcer(state, sender),
        runs=RunBook(state, sender),
        oidc=OidcIssuer(clock),
        oauth=oauth,
    )
