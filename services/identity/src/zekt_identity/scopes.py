"""What a token look-up may ask for: one way of naming repositories, and permissions from a fixed list."""

import re
from typing import Final

import msgspec

from zekt_common.contracts.identity import InstallationTokenRequest
from zekt_common.kit.errors import Refusal

ALLOWED_PERMISSIONS: Final = frozenset({("contents", "write"), ("metadata", "read"), ("actions", "read")})
MAX_REPOSITORIES: Final = 500
_FULL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Permissions = tuple[tuple[str, str], ...]


class ById(msgspec.Struct, frozen=True):
    """Repositories of a known installation, by ids in ascending order."""

    installation_id: int
    repository_ids: tuple[int, ...]
    permissions: Permissions


class ByName(msgspec.Struct, frozen=True):
    """One repository of whichever installation covers it, by its lower-case full name."""

    owner: str
    name: str
    permissions: Permissions


Scope = ById | ByName


def scope_of(request: InstallationTokenRequest) -> Scope:
    """Return what the request asks for, in the one form by which equal requests are recognised.

    Raises:
        Refusal: 400 when it is contradictory or malformed, 422 when it asks for a permission outside the list.
    """
    permissions = _permissions(request.permissions)
    if request.rejected_sha256 is not None and not _SHA256.match(request.rejected_sha256):
        raise _malformed("rejected_sha256 is 64 hex digits.")
    by_id = request.installation_id is not None or bool(request.repository_ids)
    if by_id == (request.repository is not None):
        raise _malformed("Name the repositories either by installation_id and repository_ids, or by repository.")
    if request.repository is not None:
        return _by_name(request.repository, permissions)
    return _by_id(request.installation_id, request.repository_ids, permissions)


def _permissions(asked: dict[str, str]) -> Permissions:
    permissions = tuple(sorted(asked.items()))
    if not permissions:
        raise _malformed("Ask for at least one permission.")
    if not ALLOWED_PERMISSIONS.issuperset(permissions):
        allowed = ", ".join(f"{name}:{level}" for name, level in sorted(ALLOWED_PERMISSIONS))
        raise Refusal(422, "permission_not_allowed", f"Only these permissions are given out: {allowed}.")
    return permissions


def _by_name(full_name: str, permissions: Permissions) -> ByName:
    owner, _, name = full_name.lower().partition("/")
    if not _FULL_NAME.match(full_name) or {owner, name} & {".", ".."}:
        raise _malformed("repository is a full name: owner/name.")
    return ByName(owner, name, permissions)


def _by_id(installation_id: int | None, repository_ids: list[int], permissions: Permissions) -> ById:
    ids = tuple(sorted(set(repository_ids)))
    if installation_id is None or installation_id < 1 or not ids or ids[0] < 1 or len(ids) > MAX_REPOSITORIES:
        raise _malformed(f"By ids, name one installation_id and 1 to {MAX_REPOSITORIES} repository_ids, all positive.")
    return ById(installation_id, ids, permissions)


def _malformed(detail: str) -> Refusal:
    return Refusal(400, "invalid_request", detail)
