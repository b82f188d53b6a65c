"""One account asks for what is another's, in a request that is good for its owner, at every route there is."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.e2e.catalogs import WORKFLOW
from tests.e2e.messages import ARRIVES_WITHIN_S, payload_of
from tests.e2e.people import catalog_of, session_of
from tests.e2e.peopled import ADA, BOB, MASTER_KEY, Peopled, name_of
from zekt_common.auth.requirements import Operator, Public, ServiceRole
from zekt_common.auth.webhook_secrets import repository_secret
from zekt_sandbox import GitHubSandbox, Hook, webhook_headers, workflow_run_payload

ELSEWHERE: Final = (Operator, ServiceRole, Public)
"""Operators' routes open to no person, services' to no token of one: other tests try those."""
NAMES_NOBODY: Final = {
    "POST /auth/renew": None,
    "GET /api/account": None,
    "PUT /api/account": {"persona": "both", "kind": "individual", "contact": {"name": "A", "email": "a@ada.example"}},
    "GET /api/audit": None,
    "GET /api/account/installations": None,
    "GET /api/catalog": None,
}
"""Routes about whoever calls, with a body that they take: there is no way to ask for another's."""
ENDS_OWN: Final = ("POST /auth/logout", "DELETE /api/account/sessions", "DELETE /api/account")
SIGNING_IN: Final = {"GET /auth/login", "GET /auth/callback", "POST /auth/device", "POST /auth/device/poll"}
"""Nobody is known there yet; what a stolen state, code or device code is worth is tried in identity's own tests."""
BOBS: Final = re.compile(rf"{BOB}|bob")


@dataclass(frozen=True)
class Asked:
    """A request about Bob's things; `ada` and `bob` are the credentials that the two would come with."""

    path: str
    refused: tuple[int, str]
    body: Any = None
    ada: str = "ada"
    bob: str = "bob"
    actor: str = str(ADA)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Things:
    """What Bob has: a catalog, a run in his repository, and a delivery to another one whose payload is fetched."""

    peopled: Peopled
    sandbox: GitHubSandbox
    positions: list[str] = field(default_factory=list)
    run_id: int = 0
    payload_path: str = ""
    webhook: bytes = b""

    async def come_about(self) -> None:
        catalog = catalog_of("bob")
        catalog["workflows"][0] |= {"mode": "events+messages", "correlationWindowSeconds": 1}
        status, applied = await self.peopled.call("operator.token", "POST", "/api/catalog/apply", catalog)
        assert status == 200, applied
        self.positions = applied["positions"]
        waiting = {"eventIds": self.positions, "timeoutS": 30}
        assert (await self.peopled.call("bob", "POST", "/api/operations/ingress/wait", waiting))[0] == 200
        run = await self.sandbox.start_run("bob/tools", WORKFLOW, send=False)
        self.run_id = run.id
        self.peopled.tokens["a run of bob/tools"] = self.sandbox.mint_oidc_token(run.id)
        posted = self.message("x" * 100_000)
        assert (await self.peopled.call("a run of bob/tools", "POST", "/api/events/receive", posted))[0] == 200
        await self.sandbox.complete_run(run.id)
        assert await self.sandbox.wait_for_dispatches(1, timeout_s=ARRIVES_WITHIN_S)
        [dispatch] = self.sandbox.dispatches()
        link = payload_of(dispatch.body)["zekt"]["payloadRef"]["url"]
        self.payload_path = link.removeprefix(self.peopled.hosted.url)
        self.webhook = workflow_run_payload(run, installation_id=502)
        for repository in ("ada/tools", "bob/site"):
            other = await self.sandbox.start_run(repository, WORKFLOW, send=False)
            self.peopled.tokens[f"a run of {repository}"] = self.sandbox.mint_oidc_token(other.id)

    def message(self, text: str) -> dict[str, Any]:
        return {
            "eventType": "deployment",
            "repository": "bob/tools",
            "workflowRunId": str(self.run_id),
            "payload": {"text": text},
        }

    def requests(self) -> dict[str, Asked]:
        """Return a request for each route that somebody's things are asked for at."""
        repository, hidden = "/api/account/repositories/602", (404, "repository_not_found")
        ended = {"correlationId": str(self.run_id), "success": True}
        return {
            "GET /api/account/installations/{installation_id}/repositories": Asked(
                "/api/account/installations/502/repositories", (404, "not_found")
            ),
            "GET /auth/setup": Asked("/auth/setup?installation_id=502", (404, "not_found")),
            "GET /api/account/repositories/{repository_id}": Asked(repository, hidden),
            "GET /api/account/repositories/{repository_id}/workflows": Asked(f"{repository}/workflows", hidden),
            "PUT /api/account/repositories/{repository_id}/hook": Asked(f"{repository}/hook", hidden),
            "DELETE /api/account/repositories/{repository_id}/hook": Asked(f"{repository}/hook", hidden),
            "POST /api/catalog/apply": Asked("/api/catalog/apply", (403, "not_owner"), catalog_of("bob")),
            "GET /api/catalog/audit": Asked(f"/api/catalog/audit?accountId={BOB}", (403, "not_owner")),
            "POST /api/operations/ingress/wait": Asked(
                "/api/operations/ingress/wait", (403, "not_owner"), {"eventIds": self.positions, "timeoutS": 30}
            ),
            "POST /api/events/receive": self.by_a_run(
                "/api/events/receive", (403, "another_repository"), self.message("small"), bob="a run of bob/tools"
            ),
            "GET /api/payloads/{sha256}": self.by_a_run(self.payload_path, (404, "payload_not_found")),
            "POST /api/event-delivery/confirm": self.by_a_run(
                "/api/event-delivery/confirm", (404, "delivery_not_found"), {"correlationId": str(self.run_id)}
            ),
            "POST /api/event-delivery/complete": self.by_a_run(
                "/api/event-delivery/complete", (404, "delivery_not_found"), ended
            ),
            "POST /webhooks/github": Asked(
                "/webhooks/github",
                (403, "hook_target_refused"),
                self.webhook,
                ada="",
                bob="",
                actor="repository/601",
                headers={"ada": self.signed(601), "bob": self.signed(602)},
            ),
        }

    def by_a_run(
        self, path: str, refused: tuple[int, str], body: Any = None, *, bob: str = "a run of bob/site"
    ) -> Asked:
        return Asked(path, refused, body, ada="a run of ada/tools", bob=bob, actor="repository/601")

    def signed(self, repository_id: int) -> dict[str, str]:
        """Sign Bob's webhook as the hook of this repository would."""
        secret = repository_secret(MASTER_KEY, repository_id)
        hook = Hook(1, "http://unused.test", secret, "repository", repository_id)
        return webhook_headers(hook, event="workflow_run", guid=f"guid-{repository_id}", body=self.webhook)


@pytest.fixture
async def things(peopled: Peopled, sandbox: GitHubSandbox) -> Things:
    bobs = Things(peopled, sandbox)
    await bobs.come_about()
    return bobs


async def test_every_route_is_asked_for_anothers_data_here_or_elsewhere(things: Things) -> None:
    asked = {name_of(route) for route in things.peopled.routes if not isinstance(route.requires, ELSEWHERE)}
    assert asked == {*things.requests(), *NAMES_NOBODY, *ENDS_OWN, *SIGNING_IN}


async def test_what_is_anothers_is_refused_without_a_word_and_noted(things: Things) -> None:
    peopled = things.peopled
    for name, asked in things.requests().items():
        method = name.partition(" ")[0]
        before = await peopled.refusals()
        status, body = await peopled.call(asked.ada, method, asked.path, asked.body, **asked.headers.get("ada", {}))
        assert status == asked.refused[0], (name, body)
        assert not BOBS.search(json.dumps(body)), name
        assert await peopled.refusals() - before == {(asked.actor, name, asked.refused[1])}, name


async def test_the_same_requests_are_good_for_whose_it_is(things: Things) -> None:
    for name, asked in things.requests().items():
        method = name.partition(" ")[0]
        status, body = await things.peopled.call(
            asked.bob, method, asked.path, asked.body, **asked.headers.get("bob", {})
        )
        assert status < 400, (name, body)


async def test_where_nobody_can_be_named_one_hears_of_oneself_alone(things: Things) -> None:
    for name, body in NAMES_NOBODY.items():
        method, _, path = name.partition(" ")
        query = f"account_id={BOB}&accountId={BOB}&login=bob&after={BOB - 1}"
        status, answer = await things.peopled.call("ada", method, f"{path}?{query}", body)
        assert status == 200, (name, answer)
        assert not BOBS.search(json.dumps(answer)), name


@pytest.mark.parametrize("name", ENDS_OWN)
async def test_one_ends_ones_own_sessions_and_account_alone(peopled: Peopled, name: str) -> None:
    method, _, path = name.partition(" ")
    peopled.tokens["ada"] = await session_of(peopled.http, peopled.hosted.url, "ada")
    assert (await peopled.call("ada", method, f"{path}?accountId={BOB}&account_id={BOB}"))[0] == 204
    assert (await peopled.call("ada", "GET", "/api/account"))[0] == 401
    assert (await peopled.call("bob", "GET", "/api/account"))[0] == 200
