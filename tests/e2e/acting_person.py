"""What a person has done for them at GitHub, with their own token, renewed at its first use, while GitHub fails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from services.identity.tests.conftest import Answer, Browser
from tests.e2e.catalogs import WORKFLOW
from zekt_sandbox import GitHubSandbox

OWN: Final = "octocat/tools"
OTHERS: Final = "acme/provider"
HOOK_CALLS: Final = f"/repos/{OWN}/hooks"

Call = Callable[..., Awaitable[Answer]]


@dataclass
class ActingPerson:
    """A person who is signed in; `call` keeps what our pages answer, `placed` the secrets of the webhooks at GitHub."""

    browser: Browser
    sandbox: GitHubSandbox
    call: Call
    placed: list[str]

    async def act(self) -> None:
        """Look around, have a webhook placed, hear by it, and have it removed."""
        await self._looks_around()
        await self._has_a_webhook()
        await self._reaches_for_anothers()

    async def _looks_around(self) -> None:
        before = self.sandbox.credentials()
        listed = await self._ask("GET", "/api/account/installations")
        renewed = self.sandbox.credentials() - before
        assert {token[:4] for token in renewed} == {"ghu_", "ghr_"}
        [installation] = listed["installations"]
        number = installation["installationId"]
        seen = await self._ask("GET", f"/api/account/installations/{number}/repositories")
        assert OWN in [repository["repository"] for repository in seen["repositories"]]
        await self._ask("GET", f"/auth/setup?installation_id={number}&setup_action=install", status=303)

    async def _has_a_webhook(self) -> None:
        path = f"/api/account/repositories/{self.sandbox.update_repository(OWN).id}"
        self.sandbox.add_fault("error", path="/repositories/*", status=502)
        await self._ask("GET", path, status=503)
        await self._ask("GET", f"{path}/workflows")
        self.sandbox.add_fault("error", method="POST", path=HOOK_CALLS, status=422)
        self.sandbox.add_fault("drop_after", method="POST", path=HOOK_CALLS)
        await self._ask("PUT", f"{path}/hook", status=503)
        await self._ask("PUT", f"{path}/hook")
        self.placed += [hook.secret for hook in self.sandbox.repository_hooks(OWN)]
        await self.sandbox.run_workflow(OWN, WORKFLOW)
        await self._ask("DELETE", f"{path}/hook", status=204)

    async def _reaches_for_anothers(self) -> None:
        path = f"/api/account/repositories/{self.sandbox.update_repository(OTHERS).id}"
        for method, ending in (("GET", ""), ("PUT", "/hook"), ("DELETE", "/hook")):
            await self._ask(method, path + ending, status=404)

    async def _ask(self, method: str, path: str, *, status: int = 200) -> Any:
        answer = await self.call(self.browser, method, path)
        assert answer.status == status, answer.body
        return answer.body
