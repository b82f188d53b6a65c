"""What GitHub knows, as plain dataclasses: accounts, repositories, workflows, runs, installations, tokens."""

import json
from dataclasses import dataclass, field
from typing import Any

from zekt_sandbox.github.signing import Hook, webhook_headers

APP_PERMISSIONS = {"actions": "read", "contents": "write", "metadata": "read", "repository_hooks": "write"}
LEVELS = {"read": 1, "write": 2, "admin": 3}


@dataclass(slots=True)
class Account:
    """A user, an organisation or an enterprise, whose login is its slug; its id survives a rename."""

    id: int
    login: str
    type: str = "Organization"
    name: str | None = None
    email: str | None = None


@dataclass(slots=True)
class DispatchReaction:
    """The run that an accepted dispatch starts in its repository; `conclusion` None leaves it in progress."""

    workflow: str
    conclusion: str | None = None


@dataclass(slots=True)
class Repository:
    """A repository; `reaction` makes an accepted dispatch start a run in it."""

    id: int
    name: str
    owner: Account
    private: bool = True
    archived: bool = False
    default_branch: str = "main"
    immutable_subject: bool = True
    reaction: DispatchReaction | None = None

    @property
    def full_name(self) -> str:
        """`owner/name` as GitHub spells it."""
        return f"{self.owner.login}/{self.name}"


@dataclass(slots=True)
class Workflow:
    """A workflow file of a repository."""

    id: int
    path: str
    name: str
    state: str = "active"


@dataclass(slots=True)
class WorkflowRun:
    """One attempt of a run; times are Unix seconds."""

    id: int
    repository: Repository
    workflow: Workflow
    actor: Account
    head_repository: Repository
    run_number: int = 1
    run_attempt: int = 1
    head_branch: str = "main"
    head_sha: str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
    event: str = "push"
    status: str = "in_progress"
    conclusion: str | None = None
    created_at: float = 0.0
    started_at: float = 0.0
    updated_at: float = 0.0


@dataclass(slots=True)
class Installation:
    """An App's installation in one account; `selected` None means all repositories of the account."""

    id: int
    account: Account
    permissions: dict[str, str] = field(default_factory=lambda: dict(APP_PERMISSIONS))
    selected: set[int] | None = None
    suspended_at: float | None = None
    suspended_by: Account | None = None
    created_at: float = 0.0

    def covers(self, repository: Repository) -> bool:
        """Whether the installation may see `repository`."""
        if self.selected is not None:
            return repository.id in self.selected
        return repository.owner.id == self.account.id

    def grants(self, permission: str, level: str) -> bool:
        """Whether the installation holds `permission` at `level` or above."""
        return LEVELS.get(self.permissions.get(permission, ""), 0) >= LEVELS.get(level, len(LEVELS) + 1)


@dataclass(slots=True)
class InstallationToken:
    """An installation access token; `repository_ids` None means whatever the installation covers."""

    value: str = field(repr=False)
    installation: Installation
    permissions: dict[str, str]
    repository_ids: frozenset[int] | None
    expires_at: float
    revoked: bool = False

    def covers(self, repository: Repository) -> bool:
        """Whether the token reaches `repository`, by its own list and by its installation's."""
        listed = self.repository_ids is None or repository.id in self.repository_ids
        return listed and self.installation.covers(repository)

    def grants(self, permission: str, level: str) -> bool:
        """Whether the token holds `permission` at `level` or above."""
        return LEVELS.get(self.permissions.get(permission, ""), 0) >= LEVELS[level]


@dataclass(slots=True)
class HookDelivery:
    """One attempt at sending one webhook; a redelivery has the same guid and another id."""

    id: int
    guid: str
    hook: Hook
    event: str
    action: str
    body: bytes = field(repr=False)
    installation_id: int | None = None
    repository_id: int | None = None
    delivered_at: float = 0.0
    duration_s: float = 0.0
    redelivery: bool = False
    status: str = "pending"
    status_code: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, signed with the hook's secret."""
        return webhook_headers(self.hook, event=self.event, guid=self.guid, body=self.body)

    def payload(self) -> Any:
        """The body as JSON."""
        return json.loads(self.hook.decode(self.body))


@dataclass(slots=True)
class Dispatch:
    """One raw POST to a dispatches endpoint, as received; `status` None while open or when dropped unanswered."""

    index: int
    received_at: float
    repository: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    repository_id: int | None = None
    event_type: str | None = None
    status: int | None = None
    processed: bool = False
