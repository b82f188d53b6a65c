"""GitHub's JSON for the App, its installations and the hooks, as its REST API and its webhooks show it."""

from typing import Any

from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.model import APP_PERMISSIONS, Account, HookDelivery, Installation, Repository
from zekt_sandbox.github.resources import API, CREATED, WEB, account_json, enterprise_json
from zekt_sandbox.github.signing import Hook
from zekt_sandbox.github.state import AppRegistration

APP_EVENTS = ["repository", "workflow_run"]


def app_json(app: AppRegistration, installations: int) -> dict[str, Any]:
    """The App, as `GET /app` shows it."""
    owner = Account(id=9_999, login="zekt-sandbox")
    return {
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "node_id": f"A_kwDO{app.id}",
        "owner": account_json(owner),
        "name": "Zekt",
        "description": "",
        "external_url": f"{WEB}/apps/{app.slug}",
        "html_url": f"{WEB}/apps/{app.slug}",
        "created_at": CREATED,
        "updated_at": CREATED,
        "permissions": APP_PERMISSIONS,
        "events": APP_EVENTS,
        "installations_count": installations,
    }


def installation_json(installation: Installation, app: AppRegistration) -> dict[str, Any]:
    """An installation."""
    account = installation.account
    suspended_at = None if installation.suspended_at is None else iso(installation.suspended_at)
    return {
        "id": installation.id,
        "client_id": app.client_id,
        "account": enterprise_json(account) if account.type == "Enterprise" else account_json(account),
        "repository_selection": "all" if installation.selected is None else "selected",
        "access_tokens_url": f"{API}/app/installations/{installation.id}/access_tokens",
        "repositories_url": f"{API}/installation/repositories",
        "html_url": f"{WEB}/organizations/{account.login}/settings/installations/{installation.id}",
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": account.id,
        "target_type": account.type,
        "permissions": installation.permissions,
        "events": APP_EVENTS,
        "created_at": iso(installation.created_at),
        "updated_at": iso(installation.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if installation.suspended_by is None else account_json(installation.suspended_by),
        "suspended_at": suspended_at,
    }


def delivery_json(delivery: HookDelivery) -> dict[str, Any]:
    """A hook delivery as the list shows it."""
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": iso(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": round(delivery.duration_s, 2),
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }


def repository_hook_json(hook: Hook, repository: Repository) -> dict[str, Any]:
    """A hook as its repository's admins see it; the secret is masked."""
    url = f"{API}/repos/{repository.full_name}/hooks/{hook.id}"
    config = {"content_type": hook.content_type, "insecure_ssl": "0", "url": hook.url}
    if hook.secret:
        config["secret"] = "********"
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": config,
        "created_at": CREATED,
        "updated_at": CREATED,
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
    }


def hook_json(hook: Hook) -> dict[str, Any]:
    """A hook, without its secret."""
    return {"id": hook.id, "url": hook.url, "target_type": hook.target_type, "target_id": hook.target_id}
