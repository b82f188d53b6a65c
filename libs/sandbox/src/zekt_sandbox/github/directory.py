"""Controls over what exists: accounts, repositories, workflows, installations, hooks."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from zekt_sandbox.github.core import Core
from zekt_sandbox.github.errors import InvalidControlError, UnknownNameError
from zekt_sandbox.github.model import (
    LEVELS,
    Account,
    DispatchReaction,
    Installation,
    Repository,
    Workflow,
)
from zekt_sandbox.github.signing import Hook


class RepositoryOptions(TypedDict, total=False):
    """What may be said of a new repository."""

    private: bool
    archived: bool
    default_branch: str
    immutable_subject: bool


class RepositoryChanges(TypedDict, total=False):
    """What may change in a repository; a name is the new one, without the owner."""

    name: str
    archived: bool
    private: bool


class InstallationChanges(TypedDict, total=False):
    """What may change in an installation; `repositories` None means all of the account's."""

    suspended: bool
    repositories: Sequence[str] | None
    permissions: dict[str, str]


class DirectoryControls:
    """Creates and changes what GitHub knows; callers give names, ids are made up unless given."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._state = core.state

    def create_organization(self, login: str, *, id: int | None = None) -> Account:  # noqa: A002  GitHub's own word
        """A new organisation.

        Raises:
            InvalidControlError: the login or the id is taken.
        """
        return self._state.add_account(Account(id or self._state.ids.next("account"), login))

    def create_enterprise(self, slug: str, *, id: int | None = None) -> Account:  # noqa: A002  GitHub's own word
        """A new enterprise, in which an App may be installed for the enterprise itself.

        Raises:
            InvalidControlError: the slug or the id is taken.
        """
        return self._state.add_account(Account(id or self._state.ids.next("account"), slug, "Enterprise"))

    def create_repository(
        self,
        full_name: str,
        *,
        id: int | None = None,  # noqa: A002  GitHub's own word
        **options: Unpack[RepositoryOptions],
    ) -> Repository:
        """A new repository `owner/name`; an unknown owner becomes a new organisation.

        Raises:
            InvalidControlError: the name is malformed or taken.
        """
        login, slash, name = full_name.partition("/")
        if not (login and slash and name) or "/" in name:
            raise InvalidControlError(f"{full_name!r} is not owner/name")
        try:
            owner = self._state.account(login)
        except UnknownNameError:
            owner = self.create_organization(login)
        number = id or self._state.ids.next("repository")
        return self._state.add_repository(Repository(number, name, owner, **options))

    def update_repository(self, full_name: str, **changes: Unpack[RepositoryChanges]) -> Repository:
        """Rename, archive or publish a repository.

        Raises:
            UnknownNameError: there is no such repository.
        """
        repository = self._state.repository(full_name)
        repository.archived = changes.get("archived", repository.archived)
        repository.private = changes.get("private", repository.private)
        self._state.move_repository(repository, repository.owner, changes.get("name", repository.name))
        return repository

    def react_to_dispatches(self, full_name: str, workflow: str | None, *, conclusion: str | None = "success") -> None:
        """Let each accepted dispatch start a run of `workflow`, completed at once unless `conclusion` is None.

        Raises:
            UnknownNameError: there is no such repository or workflow.
        """
        repository = self._state.repository(full_name)
        if workflow is not None:
            self._state.workflow(repository, workflow)
        repository.reaction = None if workflow is None else DispatchReaction(workflow, conclusion)

    def create_workflow(self, full_name: str, path: str, *, name: str | None = None) -> Workflow:
        """A new workflow; its name is the file's unless given.

        Raises:
            UnknownNameError: there is no such repository.
        """
        repository = self._state.repository(full_name)
        stem = path.rpartition("/")[2].partition(".")[0]
        workflow = Workflow(self._state.ids.next("workflow"), path, name or stem)
        self._state.workflows[repository.id][path] = workflow
        return workflow

    def create_installation(
        self,
        login: str,
        *,
        repositories: Sequence[str] | None = None,
        permissions: dict[str, str] | None = None,
        id: int | None = None,  # noqa: A002  GitHub's own word
    ) -> Installation:
        """Install the App in an account, for all its repositories or for the named ones.

        Raises:
            UnknownNameError: there is no such account or repository.
            InvalidControlError: the App is installed there already.
        """
        account = self._state.account(login)
        if any(found.account is account for found in self._state.installations.values()):
            raise InvalidControlError(f"the App is installed in {login!r} already")
        number = id or self._state.ids.next("installation")
        installation = Installation(number, account, created_at=self._state.clock.now())
        self._select(installation, repositories)
        if permissions is not None:
            installation.permissions = _permissions(permissions)
        self._state.installations[installation.id] = installation
        return installation

    def update_installation(self, installation_id: int, **changes: Unpack[InstallationChanges]) -> Installation:
        """Suspend or resume an installation, or change what it reaches.

        Raises:
            UnknownNameError: there is no such installation or repository.
        """
        installation = self.installation(installation_id)
        if "suspended" in changes:
            installation.suspended_at = self._state.clock.now() if changes["suspended"] else None
            installation.suspended_by = None
        if "repositories" in changes:
            self._select(installation, changes["repositories"])
        if "permissions" in changes:
            installation.permissions = _permissions(changes["permissions"])
        return installation

    def delete_installation(self, installation_id: int) -> None:
        """Uninstall the App; its tokens stop working at once.

        Raises:
            UnknownNameError: there is no such installation.
        """
        installation = self.installation(installation_id)
        del self._state.installations[installation_id]
        for token in self._state.tokens.values():
            token.revoked = token.revoked or token.installation is installation

    def installation(self, installation_id: int) -> Installation:
        """The installation with that id.

        Raises:
            UnknownNameError: there is none.
        """
        try:
            return self._state.installations[installation_id]
        except KeyError:
            raise UnknownNameError(f"no installation {installation_id}") from None

    def repository_hooks(self, full_name: str) -> list[Hook]:
        """The hooks of one repository, with their secrets.

        Raises:
            UnknownNameError: there is no such repository.
        """
        return list(self._state.repository_hooks.get(self._state.repository(full_name).id, []))

    def create_repository_hook(self, full_name: str, *, url: str, secret: str) -> Hook:
        """A webhook of one repository, beside the App's.

        Raises:
            UnknownNameError: there is no such repository.
        """
        repository = self._state.repository(full_name)
        hook = Hook(self._state.ids.next("hook"), url, secret, "repository", repository.id)
        self._state.repository_hooks.setdefault(repository.id, []).append(hook)
        return hook

    def _select(self, installation: Installation, names: Sequence[str] | None) -> None:
        chosen = None if names is None else {self._state.repository(name).id for name in names}
        installation.selected = chosen


def _permissions(wanted: dict[str, str]) -> dict[str, str]:
    if any(level not in LEVELS for level in wanted.values()):
        raise InvalidControlError(f"a permission's level is one of {sorted(LEVELS)}")
    return {**wanted, "metadata": "read"}
