"""Bodies of the webhooks that tell an App of its installations, and of the repositories in them."""

from collections.abc import Iterable
from typing import Any

from zekt_sandbox.github.app_resources import installation_json
from zekt_sandbox.github.model import Account, Installation, Repository
from zekt_sandbox.github.resources import account_json, organization_json, repository_json
from zekt_sandbox.github.state import AppRegistration

Payload = dict[str, Any]


def installation_event(
    action: str, installation: Installation, app: AppRegistration, sender: Account, repositories: Iterable[Repository]
) -> Payload:
    """`installation`: created, deleted, suspend, unsuspend."""
    return {
        "action": action,
        "installation": installation_json(installation, app),
        "repositories": [_short(one) for one in repositories],
        "requester": None,
        "sender": account_json(sender),
    }


def selection_event(
    installation: Installation,
    app: AppRegistration,
    sender: Account,
    *,
    added: list[Repository],
    removed: list[Repository],
) -> Payload:
    """`installation_repositories`: added or removed; one of the lists is empty."""
    shown = installation_json(installation, app)
    return {
        "action": "added" if added else "removed",
        "installation": shown,
        "repository_selection": shown["repository_selection"],
        "repositories_added": [_short(one) for one in added],
        "repositories_removed": [_short(one) for one in removed],
        "requester": None,
        "sender": account_json(sender),
    }


def repository_event(action: str, repository: Repository, sender: Account, changes: Payload | None) -> Payload:
    """`repository`: renamed, transferred, archived, unarchived, deleted; without the installation it is sent for."""
    payload: Payload = {"action": action}
    if changes is not None:
        payload["changes"] = changes
    payload["repository"] = repository_json(repository)
    if repository.owner.type == "Organization":
        payload["organization"] = organization_json(repository.owner)
    return {**payload, "sender": account_json(sender)}


def target_renamed_event(account: Account, former_login: str, installation: Installation, sender: Account) -> Payload:
    """`installation_target`: the account that an installation is in has another login."""
    return {
        "action": "renamed",
        "account": account_json(account),
        "changes": {"login": {"from": former_login}},
        "installation": installation_reference(installation.id),
        "target_type": account.type,
        "sender": account_json(sender),
    }


def authorization_revoked_event(person: Account) -> Payload:
    """`github_app_authorization`: a person takes back what they authorised."""
    return {"action": "revoked", "sender": account_json(person)}


def former_owner(owner: Account) -> Payload:
    """The `changes` of a transfer."""
    kind = "organization" if owner.type == "Organization" else "user"
    shown = organization_json(owner) if kind == "organization" else account_json(owner)
    return {"owner": {"from": {kind: shown}}}


def former_name(name: str) -> Payload:
    """The `changes` of a renaming."""
    return {"repository": {"name": {"from": name}}}


def installation_reference(installation_id: int) -> Payload:
    """An installation as an event of a repository names it."""
    return {"id": installation_id, "node_id": f"MDIzOkludGVncmF0aW9u{installation_id}"}


def _short(repository: Repository) -> Payload:
    shown = {"id": repository.id, "node_id": f"R_kgDOK{repository.id}", "name": repository.name}
    return {**shown, "full_name": repository.full_name, "private": repository.private}
