"""Identity's contracts: token look-ups on the internal port, and what it publishes of installations and accounts.

Messages hold full state; a reader takes one only if its stream version is higher than its own. A request is refused
for a member that identity does not know, which may have narrowed what is asked for, so callers send what they set and
no more: identity knows a new member one minor version before anybody sends it.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Final, Literal

import msgspec

from zekt_common.envelope import Event

InstallationStatus = Literal["active", "suspended", "removed"]
RepositoryStatus = Literal["covered", "withdrawn"]
AccountStatus = Literal["open", "left"]
Persona = Literal["provider", "consumer", "both"]
Sku = Literal["free", "standard", "enterprise"]

REPOSITORY_LIMITS: Final[Mapping[Sku, int | None]] = MappingProxyType({"free": 2, "standard": 50, "enterprise": None})
"""How many repositories an account of each SKU may have enabled, on either side; None is no limit."""
DEFAULT_SKU: Final[Sku] = "standard"
"""What an account has that nobody has given another, unless the setting says otherwise."""

AUDIENCE: Final = "api://zekt-identity"
ISSUER: Final = "zekt-embedded"
TOKENS_INSTALLATION: Final = "Tokens.Installation"
TOKENS_USER: Final = "Tokens.User"
INSTALLATION_TOKENS_PATH: Final = "/internal/tokens/installation"
USER_TOKENS_PATH: Final = "/internal/tokens/user"
NOT_THERE: Final = frozenset({"installation_not_found", "repository_not_in_installation"})
"""Why a token look-up answers 404 for good: the App is not there, whoever asks."""


class InstallationTokenRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Ask for a token of exactly these repositories, by ids, or by one repository's full name when ids are unknown.

    `rejected_sha256` is the hex SHA-256 of a token that GitHub has answered with 401: identity forgets that one.
    """

    permissions: dict[str, str]
    purpose: str
    installation_id: int | None = None
    repository_ids: list[int] = []
    repository: str | None = None
    rejected_sha256: str | None = None


class InstallationToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: a token and what it is good for. Its repr never shows the token."""

    token: str
    expires_at: datetime
    installation_id: int
    account_id: int | None
    repository_ids: list[int]

    def __repr__(self) -> str:
        return f"InstallationToken(installation_id={self.installation_id}, expires_at={self.expires_at.isoformat()})"


class UserTokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Ask for the token of a person who has signed in, to act for them at GitHub."""

    account_id: int
    purpose: str


class UserToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. Its repr never shows the token; `expires_at` is None where the App's user tokens do not expire."""

    token: str
    expires_at: datetime | None
    account_id: int
    login: str

    def __repr__(self) -> str:
        return f"UserToken(account_id={self.account_id}, expires_at={self.expires_at})"


class InstallationChanged(Event, frozen=True, kw_only=True):
    """An installation's full state; for everyone. Nothing is delivered through one that is not active."""

    TYPE: ClassVar[str] = "dev.zekt.identity.installation-changed"

    installation_id: int
    account_id: int
    login: str
    status: InstallationStatus


class RepositoryChanged(Event, frozen=True, kw_only=True):
    """A repository's full state as the App sees it; for everyone. Withdrawn: in no installation now."""

    TYPE: ClassVar[str] = "dev.zekt.identity.repository-changed"

    repository_id: int
    repository: str
    account_id: int
    installation_id: int
    archived: bool
    status: RepositoryStatus


class AccountChanged(Event, frozen=True, kw_only=True):
    """What an account may do, in full; for `router`. One that was left has neither persona nor SKU."""

    TYPE: ClassVar[str] = "dev.zekt.identity.account-changed"

    account_id: int
    status: AccountStatus
    persona: Persona | None
    sku: Sku | None
