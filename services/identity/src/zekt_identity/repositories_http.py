"""`/api/account/installations` and `/api/account/repositories`: what a person sees, and what is done for them.

Everything is asked for with the person's own token, which stays here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from zekt_common.auth.requirements import PersonSession, RepositoryAdmin, Requirement
from zekt_common.auth.sessions import SessionVerifier
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.service import Handler, Route
from zekt_identity.acting import acting
from zekt_identity.audited import SESSION
from zekt_identity.hooks import Hook, Hooks
from zekt_identity.person_repositories import PAGE, PersonRepositories
from zekt_identity.repository_access import RepositoryAccess, SeenRepository

MAX_PAGE: Final = 1000
INSTALLATIONS: Final = "/api/account/installations"
REPOSITORY: Final = r"/api/account/repositories/{repository_id:\d{1,18}}"
_REPOSITORIES: Final = INSTALLATIONS + r"/{installation_id:\d{1,18}}/repositories"
_PRIVATE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class RepositoriesDesk:
    """What the routes work with; without a webhook master key there are no `hooks`."""

    verifier: SessionVerifier
    repositories: PersonRepositories
    access: RepositoryAccess
    hooks: Hooks | None


class RepositoriesDoor:
    """The routes; `desk` is asked for on each request, since it exists only while the service runs."""

    def __init__(self, desk: Callable[[], RepositoriesDesk]) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return all of them."""
        return [
            _route("GET", INSTALLATIONS, self.get_installations, PersonSession()),
            _route("GET", _REPOSITORIES, self.get_repositories, PersonSession()),
            _route("GET", REPOSITORY, self.get_repository, RepositoryAdmin()),
            _route("GET", f"{REPOSITORY}/workflows", self.get_workflows, RepositoryAdmin()),
            _route("PUT", f"{REPOSITORY}/hook", self.put_hook, RepositoryAdmin()),
            _route("DELETE", f"{REPOSITORY}/hook", self.delete_hook, RepositoryAdmin()),
        ]

    async def get_installations(self, request: web.Request) -> web.Response:
        """A page of the App's installations that the person may see."""
        account_id, page = await self._account_id(request), _page(request)
        with acting():
            found = await self._desk().repositories.installations(account_id, page)
        return _listed("installations", found, page)

    async def get_repositories(self, request: web.Request) -> web.Response:
        """A page of the repositories that both the person and the installation reach."""
        account_id, page = await self._account_id(request), _page(request)
        with acting():
            installation_id = int(request.match_info["installation_id"])
            found = await self._desk().repositories.repositories(account_id, installation_id, page)
        return _listed("repositories", [_shown(repository) for repository in found], page)

    async def get_repository(self, request: web.Request) -> web.Response:
        """A repository that the person administers."""
        _, repository = await self._administered(request)
        return json_response(_shown(repository), headers=_PRIVATE)

    async def get_workflows(self, request: web.Request) -> web.Response:
        """A page of the repository's workflows."""
        page = _page(request)
        account_id, repository = await self._administered(request)
        with acting():
            found = await self._desk().repositories.workflows(account_id, repository, page)
        return _listed("workflows", found, page)

    async def put_hook(self, request: web.Request) -> web.Response:
        """Have the repository have our webhook, with the newest secret; a repeat changes nothing else."""
        account_id, repository = await self._administered(request)
        with acting():
            hook = await self._hooks().place(account_id, repository)
        return json_response(_shown_hook(hook), headers=_PRIVATE)

    async def delete_hook(self, request: web.Request) -> web.Response:
        """Have the repository have no webhook of ours; there need be none."""
        account_id, repository = await self._administered(request)
        with acting():
            await self._hooks().remove(account_id, repository)
        return web.Response(status=204, headers=_PRIVATE)

    async def _account_id(self, request: web.Request) -> int:
        session = request[SESSION] = await self._desk().verifier.verify(request)
        return session.account_id

    async def _administered(self, request: web.Request) -> tuple[int, SeenRepository]:
        account_id = await self._account_id(request)
        with acting():
            repository_id = int(request.match_info["repository_id"])
            return account_id, await self._desk().access.administered(account_id, repository_id)

    def _hooks(self) -> Hooks:
        hooks = self._desk().hooks
        if hooks is None:
            raise Refusal(404, "repository_hooks_off", "No webhooks are placed here: set ZEKT_WEBHOOK_MASTER_KEYS.")
        return hooks


def _route(method: str, path: str, handler: Handler, requires: Requirement) -> Route:
    return Route(method=method, path=path, handler=handler, requires=requires, max_body_bytes=1024)


def _listed(name: str, found: list[Any], page: int) -> web.Response:
    following = page + 1 if len(found) == PAGE else None
    return json_response({name: found, "next": following}, headers=_PRIVATE)


def _shown(repository: SeenRepository) -> dict[str, Any]:
    return {
        "repositoryId": repository.id,
        "repository": repository.full_name,
        "accountId": repository.owner.id,
        "isPrivate": repository.private,
        "isArchived": repository.archived,
        "isAdmin": repository.permissions.admin,
    }


def _shown_hook(hook: Hook) -> dict[str, Any]:
    return {"hookId": hook.id, "url": hook.config.url, "events": hook.events, "isActive": hook.active}


def _page(request: web.Request) -> int:
    value = request.query.get("page", "1")
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:20]) <= MAX_PAGE):
        raise Refusal(400, "invalid_page", f"page must be a whole number from 1 to {MAX_PAGE}.")
    return int(value[:20])
