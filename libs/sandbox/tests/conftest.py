import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.state import generate_private_key

CI = ".github/workflows/ci.yml"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Caller:
    """A client of the stand-in over real HTTP; `credential` goes into the Authorization header."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: GitHubSandbox) -> None:
        self._session = session
        self._sandbox = sandbox

    async def call(  # noqa: PLR0913  as many as a request has parts
        self,
        method: str,
        path: str,
        *,
        credential: str | None = None,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        redirects: bool = True,
    ) -> Answer:
        authorization = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        sent = raw if raw is not None or body is None else json.dumps(body).encode()
        url = path if path.startswith("http") else self._sandbox.url + path
        options: dict[str, Any] = {"headers": {**authorization, **(headers or {})}, "allow_redirects": redirects}
        async with self._session.request(method, url, data=sent, **options) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.text())

    async def app(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.call(method, path, credential=self._sandbox.app_jwt(), body=body)

    async def token(self, installation_id: int, **scope: Any) -> str:
        answer = await self.app("POST", f"/app/installations/{installation_id}/access_tokens", scope)
        assert answer.status == 201, answer.text
        return str(answer.json["token"])

    async def dispatch(self, repository: str, token: str | None, body: Any = None) -> Answer:
        sent = {"event_type": "deployment", "client_payload": {"zekt": {}}} if body is None else body
        return await self.call("POST", f"/repos/{repository}/dispatches", credential=token, body=sent)


@dataclass
class Receiver:
    """A webhook receiver that keeps what it got and answers `status`."""

    status: int = 202
    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, text="noted")


@pytest.fixture(scope="session")
def private_key_pem() -> str:
    return generate_private_key()


@pytest.fixture
async def sandbox(private_key_pem: str) -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start(private_key_pem=private_key_pem) as running:
        running.create_repository("acme/provider")
        running.create_workflow("acme/provider", CI, name="CI")
        running.create_repository("beta/consumer")
        running.create_repository("beta/other")
        running.create_installation("acme", id=71)
        running.create_installation("beta", id=72)
        yield running


@pytest.fixture
async def caller(sandbox: GitHubSandbox) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Caller(session, sandbox)


@pytest.fixture
async def receiver(sandbox: GitHubSandbox) -> AsyncIterator[Receiver]:
    listening = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks/github", listening.receive)
    async with TestServer(app, host="127.0.0.1") as server:
        listening.url = sandbox.webhook_url = str(server.make_url("/webhooks/github"))
        yield listening
