"""A run in which much happens and much goes wrong: sign-ins, tokens for services, deliveries, faults and attacks."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp

from services.identity.tests.conftest import Answer, Browser
from tests.e2e.acting_person import ActingPerson
from tests.e2e.catalogs import CONSUMERS, PROVIDER, WORKFLOW, catalog
from tests.e2e.messages import ARRIVES_WITHIN_S
from tests.e2e.suite import SERVICES, Suite
from zekt_sandbox import GitHubSandbox

ENDS_SOON_S: Final = 200
PERSON, LEAVER = "octocat", "hubot"
PERSON_ID, LEAVER_ID = 4_242, 4_243
CONTACT: Final = {"name": "Ada Lovelace-Byron", "email": "ada.lovelace@engines.example", "company": ""}
SMUGGLED: Final = ("ghp_" + "x1Y2z3W4" * 5, "AKIA" + "ABCDEFGHIJKLMNOP")
"""Secrets that a careless workflow posts: redacted before anything is stored."""
DISPATCHES: Final = "/repos/*/dispatches"
SIGN_IN_CALL: Final = "/login/oauth/access_token"
TOKEN_CALLS: Final = "/app/installations/*/access_tokens"


@dataclass
class EventfulRun:
    """What happens, and what of it must be found nowhere; `answers` are bodies that were answered to somebody."""

    suite: Suite
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    service_token: str
    many_runs: int
    marker: str = field(default_factory=lambda: f"marker-{secrets.token_hex(16)}")
    handed_out: dict[str, str] = field(default_factory=dict)
    placed_secrets: list[str] = field(default_factory=list)
    answers: list[tuple[str, bytes]] = field(default_factory=list)

    async def happen(self) -> None:
        """Let it all happen, one thing after the other."""
        self.sandbox.callback_urls = [f"{self.suite.url('identity')}/auth/callback"]
        await self.suite.apply(catalog(mode="events+messages"))
        person = await self._signs_in()
        await ActingPerson(person, self.sandbox, self.call, self.placed_secrets).act()
        await self._keeps_an_account(person)
        await self._signs_in_on_a_device()
        await self._services_ask_for_tokens()
        await self._deliveries_meet_faults()
        await self._many_runs_are_delivered()
        await self._doors_are_tried()
        await self._requests_are_malformed(person)
        await self._operators_look()
        await self._signs_out(person)
        await self._takes_the_yes_back()

    async def _signs_in(self) -> Browser:
        """Sign in, after GitHub failed the first time; the tokens have to be renewed at their first use."""
        self.sandbox.set_user_token_life(life_s=ENDS_SOON_S)
        failing = self.browser()
        callback = await failing.authorize(PERSON)
        self.sandbox.add_fault("error", path=SIGN_IN_CALL, status=503)
        assert (await self.call(failing, "GET", callback)).status == 503
        person = self.browser()
        self._saw_callback(callback := await person.authorize(PERSON))
        self._saw_cookies(person)
        assert (await self.call(person, "GET", callback)).status == 303
        replay = Browser(self.http, person.base, dict(person.cookies))
        assert (await self.call(replay, "GET", callback)).status == 403
        self._saw_cookies(person)
        self.sandbox.set_user_token_life()
        return person

    async def _keeps_an_account(self, person: Browser) -> None:
        description = {"persona": "both", "kind": "individual", "contact": CONTACT}
        assert (await person.call("PUT", "/api/account", description)).status == 200
        assert (await self.call(person, "PUT", "/api/account", description | {"sku": self.marker})).status == 400
        assert (await person.call("POST", "/auth/renew")).status == 204
        self._saw_cookies(person)
        assert (await self.call(person, "GET", "/api/audit")).status == 200

    async def _signs_in_on_a_device(self) -> None:
        line = self.browser()
        begun = (await line.call("POST", "/auth/device")).body
        self.sandbox.answer_device(begun["userCode"], LEAVER)
        signed_in = await line.call("POST", "/auth/device/poll", {"note": begun["note"]})
        assert signed_in.status == 200
        self.handed_out |= {"device note": begun["note"], "device session": signed_in.body["token"]}
        bearer = {"Authorization": f"Bearer {signed_in.body['token']}"}
        assert (await self.call(line, "DELETE", "/api/account", **bearer)).status == 204

    async def _services_ask_for_tokens(self) -> None:
        """GitHub is dropped, limits us, and has revoked what is in the cache."""
        self.handed_out["service token"] = self.service_token
        wanted = {"permissions": {"contents": "write"}, "purpose": "scan", "repository": CONSUMERS[0]}
        self.sandbox.add_fault("drop_after", path=TOKEN_CALLS)
        assert await self._look_up("installation", wanted) in (200, 503)  # reconciliation may meet the fault first
        self.sandbox.add_fault("secondary", path=TOKEN_CALLS, retry_after_s=1)
        await self._until_look_up("installation", wanted, 200)
        assert await self._look_up("installation", wanted | {"permissions": {"administration": "write"}}) == 422
        assert await self._look_up("user", {"account_id": PERSON_ID, "purpose": "scan"}) == 200
        assert await self._look_up("user", {"account_id": LEAVER_ID, "purpose": "scan"}) == 404

    async def _deliveries_meet_faults(self) -> None:
        """Runs with messages, small and large, while GitHub fails before and after it acts, then revokes tokens."""
        self.sandbox.add_fault("error", path=DISPATCHES, status=502)
        self.sandbox.add_fault("drop_after", path=DISPATCHES)
        self.sandbox.add_fault("secondary", path=DISPATCHES, retry_after_s=1)
        for text in ("small", "large " * 8_000):
            run = await self.sandbox.start_run(PROVIDER, WORKFLOW, send=False)
            await self._post_message(run.id, {"text": text, "marker": self.marker, "smuggled": " ".join(SMUGGLED)})
            await self.sandbox.complete_run(run.id)
        assert await self.sandbox.wait_for_dispatches(len(CONSUMERS) * 2, timeout_s=ARRIVES_WITHIN_S)
        self.sandbox.revoke_tokens()

    async def _many_runs_are_delivered(self) -> None:
        """Enough for a thousand lines of log."""
        before = len(CONSUMERS) * 2
        await asyncio.gather(*(self.sandbox.run_workflow(PROVIDER, WORKFLOW) for _ in range(self.many_runs)))
        expected = before + len(CONSUMERS) * self.many_runs
        assert await self.sandbox.wait_for_dispatches(expected, timeout_s=2 * ARRIVES_WITHIN_S)

    async def _post_message(self, run_id: int, payload: Mapping[str, str]) -> None:
        token = self.handed_out[f"OIDC token {run_id}"] = self.sandbox.mint_oidc_token(run_id)
        body = {
            "eventType": "deployment",
            "repository": PROVIDER,
            "workflowRunId": str(run_id),
            "triggeredBy": "octocat",
            "commitSha": "0" * 40,
            "ref": "refs/heads/main",
            "workflow": "CI",
            "payload": payload,
            "timestamp": "2026-01-01T00:00:00Z",
        }
        assert await self._ask("POST", "ingress", "/api/events/receive", body, token) == 200
        assert await self._ask("POST", "ingress", "/api/events/receive", {"payload": payload}, token) == 400

    async def _doors_are_tried(self) -> None:
        """Every refusal is kept, to see whether it tells anything."""
        run = await self.sandbox.start_run(PROVIDER, WORKFLOW, send=False)
        tokens = {
            "expired": self.sandbox.mint_oidc_token(run.id, expires_in_s=-60),
            "forged": self.sandbox.mint_oidc_token(run.id, forgery="foreign_key"),
            "App's own": self.sandbox.app_jwt(),
        }
        self.handed_out |= {f"{kind} token": token for kind, token in tokens.items()}
        for token in (*tokens.values(), *self.sandbox.credentials()):
            assert await self._ask("POST", "ingress", "/api/events/receive", {}, token) in (400, 401)
            assert await self._ask("GET", "router", "/api/catalog", None, token) in (401, 404, 405)
            assert await self._ask("GET", "identity", "/api/account", None, token) == 401
        assert await self._ask("POST", "ingress", "/webhooks/github", {"marker": self.marker}, "") == 401

    async def _requests_are_malformed(self, person: Browser) -> None:
        """What is no HTTP is refused below our routes, and quoted in what is raised there."""
        cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
        state = self.handed_out["state of a sign-in"]
        for request in (
            f"GET /api/account HTTP/1.1\r\nHost: x\r\nCookie: {cookies}{'x' * 10_000}\r\n\r\n",
            f"GET /auth/callback?state={state}\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET /api/account HTTP/1.1\r\nHost: x\r\n{cookies}\r\n\r\n",
        ):
            assert b" 400 " in await self._send(request.encode("latin-1"))

    async def _send(self, request: bytes) -> bytes:
        url = urlsplit(self.suite.url("identity"))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(request)
        try:
            return await reader.readline()
        finally:
            writer.close()

    async def _operators_look(self) -> None:
        """What operators are shown is scanned too."""
        operator = self.suite.operator["Authorization"].removeprefix("Bearer ")
        for service in SERVICES:
            for page in ("events", "status", "dead-letters?topic=router&subscription=dispatcher"):
                await self._ask("GET", service, f"/api/operations/{service}/{page}", None, operator)
        assert await self._ask("GET", "dispatcher", "/api/deliveries", None, operator) == 200

    async def _signs_out(self, person: Browser) -> None:
        assert (await person.call("POST", "/auth/logout")).status == 204

    async def _takes_the_yes_back(self) -> None:
        person = self.browser()
        await person.sign_in(PERSON)
        self._saw_cookies(person)
        await self.sandbox.revoke_authorization(PERSON)
        await self._until_look_up("user", {"account_id": PERSON_ID, "purpose": "scan"}, 404)

    def browser(self) -> Browser:
        return Browser(self.http, self.suite.url("identity"))

    async def call(self, browser: Browser, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call as a person does, and keep the answer's body."""
        answer = await browser.call(method, path, body, **headers)
        self.answers.append((f"the answer to {method} {urlsplit(path).path}", json.dumps(answer.body).encode()))
        return answer

    async def _look_up(self, kind: str, wanted: Mapping[str, Any]) -> int:
        """Look a token up as a service does; the body is kept unless it is the token."""
        _, internal = self.suite.ports.get("identity") or self.suite.ports["suite"]
        url = f"http://127.0.0.1:{internal}/internal/tokens/{kind}"
        headers = {"Authorization": f"Bearer {self.handed_out['service token']}"}
        async with self.http.post(url, json=wanted, headers=headers) as answer:
            if answer.status != 200:
                self.answers.append((f"a refused look-up of a token: {kind}", await answer.read()))
            return answer.status

    async def _until_look_up(self, kind: str, wanted: Mapping[str, Any], status: int) -> None:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            while await self._look_up(kind, wanted) != status:  # noqa: ASYNC110 - another process announces nothing
                await asyncio.sleep(0.1)

    async def _ask(self, method: str, service: str, path: str, body: Any, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(method, self.suite.url(service) + path, json=body, headers=headers) as answer:
            self.answers.append((f"the answer to {method} {path}", await answer.read()))
            return answer.status

    def _saw_callback(self, callback: str) -> None:
        query = parse_qs(urlsplit(callback).query)
        self.handed_out |= {"code of a sign-in": query["code"][0], "state of a sign-in": query["state"][0]}

    def _saw_cookies(self, browser: Browser) -> None:
        number = len(self.handed_out)
        self.handed_out |= {f"cookie {number} {name}": value for name, value in browser.cookies.items()}

    def personal(self) -> dict[str, str]:
        """Return what is a person's own, and stored sealed."""
        return {"a name": CONTACT["name"], "an address": CONTACT["email"]}
