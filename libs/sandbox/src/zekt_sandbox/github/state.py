"""The stand-in's memory: everything created, sent and received, and the look-ups over it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.errors import InvalidControlError, UnknownNameError
from zekt_sandbox.github.model import (
    Account,
    HookDelivery,
    Installation,
    InstallationToken,
    Repository,
    Workflow,
    WorkflowRun,
)
from zekt_sandbox.github.people import People
from zekt_sandbox.github.signing import Hook

# Only runs and deliveries follow the seed: a restart may keep the other ids, but must not repeat a run that a suite
# remembers.
_STABLE = {"account": 10_000, "app": 900_000, "hook": 500_000_000, "installation": 60_000_000}
_STABLE |= {"repository": 800_000_000, "workflow": 150_000_000}
_SEEDED = {"run": 20_000_000_000, "delivery": 170_000_000_000}
_SEED_STEP = 1_000_000
ANYBODY = "octocat"  # who did it when nobody says


class Ids:
    """Numeric ids from counters, one for each kind, in the ranges that GitHub uses today."""

    def __init__(self, seed: int = 0) -> None:
        starts = _STABLE | {kind: start + seed * _SEED_STEP for kind, start in _SEEDED.items()}
        self._counters = {kind: itertools.count(start + 1) for kind, start in starts.items()}

    def next(self, kind: str) -> int:
        """The next id of `kind`."""
        return next(self._counters[kind])


def generate_private_key() -> str:
    """A new 2048-bit RSA key as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@dataclass(slots=True)
class AppRegistration:
    """The one GitHub App that the stand-in knows."""

    id: int
    private_key_pem: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    webhook_url: str | None = None
    slug: str = "zekt"
    client_id: str = "Iv23liSandboxZekt001"
    client_secret: str = field(default="sandbox-client-secret", repr=False)
    callback_urls: tuple[str, ...] = ()


class GitHubState:
    """Everything in memory; names are looked up without regard to case, as at GitHub."""

    def __init__(self, app: AppRegistration, ids: Ids, clock: Clock) -> None:
        self.app = app
        self.ids = ids
        self.clock = clock
        self.app_hook_id = ids.next("hook")
        self.clear()

    def clear(self) -> None:
        """Forget everything but the App, its keys and the ids already given."""
        self.accounts: dict[str, Account] = {}
        self.people = People()
        self.repositories: dict[str, Repository] = {}
        self.repositories_by_id: dict[int, Repository] = {}
        self.workflows: dict[int, dict[str, Workflow]] = {}
        self.runs: dict[int, list[WorkflowRun]] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, InstallationToken] = {}
        self.repository_hooks: dict[int, list[Hook]] = {}
        self.deliveries: dict[int, HookDelivery] = {}

    def account(self, login: str) -> Account:
        """The account called `login`.

        Raises:
            UnknownNameError: there is none.
        """
        try:
            return self.accounts[login.lower()]
        except KeyError:
            raise UnknownNameError(f"no account {login!r}") from None

    def actor(self, login: str) -> Account:
        """The account called `login`, a new user if there is none."""
        try:
            return self.account(login)
        except UnknownNameError:
            return self.add_account(Account(self.ids.next("account"), login, "User"))

    def repository(self, full_name: str) -> Repository:
        """The repository `owner/name`.

        Raises:
            UnknownNameError: there is none.
        """
        try:
            return self.repositories[full_name.lower()]
        except KeyError:
            raise UnknownNameError(f"no repository {full_name!r}") from None

    def workflow(self, repository: Repository, path: str) -> Workflow:
        """The workflow at `path`.

        Raises:
            UnknownNameError: the repository has none there.
        """
        try:
            return self.workflows[repository.id][path]
        except KeyError:
            raise UnknownNameError(f"no workflow {path!r} in {repository.full_name}") from None

    def run(self, run_id: int) -> WorkflowRun:
        """The latest attempt of a run.

        Raises:
            UnknownNameError: there is no such run.
        """
        try:
            return self.runs[run_id][-1]
        except KeyError:
            raise UnknownNameError(f"no run {run_id}") from None

    def installation_of(self, repository: Repository) -> Installation | None:
        """The installation that covers `repository`, if any."""
        return next((found for found in self.installations.values() if found.covers(repository)), None)

    def covered_by(self, reach: Installation | InstallationToken) -> list[Repository]:
        """The repositories that an installation or one of its tokens reaches, oldest first."""
        return [repository for repository in self.repositories_by_id.values() if reach.covers(repository)]

    def live_tokens(self) -> Iterator[InstallationToken]:
        """Tokens that still work."""
        now = self.clock.now()
        return (token for token in self.tokens.values() if not token.revoked and token.expires_at > now)

    def add_account(self, account: Account) -> Account:
        """Remember a new account.

        Raises:
            InvalidControlError: the login or the id is taken.
        """
        if account.login.lower() in self.accounts or any(account.id == known.id for known in self.accounts.values()):
            raise InvalidControlError(f"account {account.login!r} or id {account.id} exists already")
        self.accounts[account.login.lower()] = account
        return account

    def add_repository(self, repository: Repository) -> Repository:
        """Remember a new repository.

        Raises:
            InvalidControlError: the name or the id is taken.
        """
        name = repository.full_name.lower()
        if name in self.repositories or repository.id in self.repositories_by_id:
            raise InvalidControlError(f"repository {repository.full_name!r} or id {repository.id} exists already")
        self.repositories[name] = self.repositories_by_id[repository.id] = repository
        self.workflows[repository.id] = {}
        return repository

    def move_repository(self, repository: Repository, owner: Account, name: str) -> None:
        """Give a repository another owner or name; its id stays and the old name is free at once.

        Raises:
            InvalidControlError: the owner has another one of that name.
        """
        if self.repositories.get(f"{owner.login}/{name}".lower(), repository) is not repository:
            raise InvalidControlError(f"repository '{owner.login}/{name}' exists already")
        del self.repositories[repository.full_name.lower()]
        repository.owner, repository.name = owner, name
        self.repositories[repository.full_name.lower()] = repository

    def remove_repository(self, repository: Repository) -> None:
        """Forget a repository, its workflows and its hooks; no installation reaches it any more."""
        del self.repositories[repository.full_name.lower()], self.repositories_by_id[repository.id]
        del self.workflows[repository.id]
        self.repository_hooks.pop(repository.id, None)
        for installation in self.installations.values():
            if installation.selected is not None:
                installation.selected.discard(repository.id)

    def rename_account(self, account: Account, login: str) -> None:
        """Give an account another login; its id stays, and its repositories go by the new login at once.

        Raises:
            InvalidControlError: the login is taken.
        """
        if self.accounts.get(login.lower(), account) is not account:
            raise InvalidControlError(f"account {login!r} exists already")
        del self.accounts[account.login.lower()]
        account.login = login
        self.accounts[login.lower()] = account
        self.repositories = {one.full_name.lower(): one for one in self.repositories.values()}

    def next_attempt(self, run_id: int) -> WorkflowRun:
        """Start another attempt of a run."""
        now = self.clock.now()
        last = self.run(run_id)
        attempt = replace(last, run_attempt=last.run_attempt + 1, status="in_progress", conclusion=None)
        attempt.started_at = attempt.updated_at = now
        self.runs[run_id].append(attempt)
        return attempt
