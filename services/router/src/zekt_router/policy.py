"""Who may send and who may receive: pure rules over a catalog, each refusal by a stable reason."""

from typing import Any, Final

import msgspec

from zekt_router.branches import any_matches
from zekt_router.catalog_model import Catalog, Repository, Service, Subscription, Workflow
from zekt_router.message_schema import violation
from zekt_router.run_model import Completion
from zekt_router.standing import is_still_owned, present

SHIELD_ENVELOPE: Final = "zekt-shield-envelope"
_NEVER_BY_DEFAULT: Final = "pull_request"


class Blocked(msgspec.Struct, frozen=True):
    """The rule that says no, and what the provider can do about it."""

    reason: str
    detail: str


class Reachable(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer's repository, as it is called now, and the installation to reach it through."""

    repository_id: int
    repository: str
    installation_id: int


class Content(msgspec.Struct, frozen=True):
    """A message's decoded payload, or nothing where it has expired or been erased."""

    value: Any = None
    available: bool = True


def hindrance_of(catalog: Catalog, repository: Repository) -> Blocked | None:
    """Return what at GitHub stands in this listed repository's way, as identity has seen it; None if nothing does."""
    standing = catalog.standings.get(repository.repository_id)
    if standing is not None and standing.status == "withdrawn":
        return Blocked(
            "repository_withdrawn",
            "The App does not see the repository any more: it was deleted, handed on, or left out of the installation.",
        )
    if standing is not None and not is_still_owned(catalog, standing):
        return Blocked("repository_transferred", "It belongs to another account, whose own catalog has to list it.")
    if standing is not None and standing.archived:
        return Blocked("repository_archived", "Unarchive the repository at GitHub.")
    return _judge_installation(catalog, present(catalog, repository).installation_id)


def _judge_installation(catalog: Catalog, installation_id: int | None) -> Blocked | None:
    installation = catalog.installations.get(installation_id) if installation_id is not None else None
    match installation.status if installation is not None else "active":
        case "suspended":
            return Blocked("installation_suspended", "The account's owner has suspended the App's installation.")
        case "removed":
            return Blocked("installation_removed", "The account's owner has uninstalled the App.")
        case _:
            return None


def judge_completion(catalog: Catalog, completion: Completion) -> Workflow | Blocked:
    """Return the allow-listed workflow that this completion counts for, or why it does not count."""
    repository = catalog.repositories.get(completion.repository_id)
    if repository is None or "provider" not in repository.enabled_as:
        return Blocked("repository_not_enabled", "Enable the repository as a provider.")
    hindrance = hindrance_of(catalog, repository)
    if hindrance is not None:
        return hindrance
    path = completion.workflow_path.partition("@")[0]
    workflow = catalog.workflows.get((completion.repository_id, path))
    if workflow is None:
        return Blocked("workflow_not_listed", f"Add {path} to the repository's workflows.")
    return _judge_run(workflow, completion) or workflow


def _judge_run(workflow: Workflow, completion: Completion) -> Blocked | None:
    listed = completion.trigger in workflow.events
    if completion.head_repository_id != completion.repository_id and not listed:
        return Blocked("fork", f"Runs from forks count only where events list {completion.trigger}.")
    by_default = not workflow.events and not completion.trigger.startswith(_NEVER_BY_DEFAULT)
    if not (listed or by_default):
        return Blocked("trigger_not_listed", f"Add {completion.trigger} to the workflow's events.")
    if workflow.branches and not any_matches(workflow.branches, completion.branch):
        return Blocked("branch_not_listed", f"Add {completion.branch} to the workflow's branches.")
    if workflow.conclusions and completion.conclusion not in workflow.conclusions:
        return Blocked("conclusion_not_listed", f"Add {completion.conclusion} to the workflow's conclusions.")
    return None


def judge_subscription(
    subscription: Subscription, service: Service, target: Repository | Blocked | None, event_type: str
) -> Reachable | Blocked:
    """Return where this subscription's deliveries of this type go, or why there are none."""
    if subscription.status != "approved":
        return Blocked("subscription_not_approved", f"It is {subscription.status}.")
    if service.event_types and event_type not in service.event_types:
        return Blocked("event_type_not_offered", f"The service does not offer {event_type}.")
    if subscription.event_types and event_type not in subscription.event_types:
        return Blocked("event_type_filter", f"The subscription does not ask for {event_type}.")
    return _judge_target(target)


def _judge_target(target: Repository | Blocked | None) -> Reachable | Blocked:
    if isinstance(target, Blocked):
        return target
    if target is None or "consumer" not in target.enabled_as:
        return Blocked("target_not_enabled", "The consumer's repository is not enabled as a consumer.")
    if target.installation_id is None:
        return Blocked("target_not_installed", "The App is not installed in the consumer's repository.")
    return Reachable(
        repository_id=target.repository_id, repository=target.repository, installation_id=target.installation_id
    )


def reads_content(service: Service) -> bool:
    """Return whether the service's rules look into a message's payload."""
    return service.shield_required or service.schema is not None


def judge_content(service: Service, content: Content) -> Blocked | None:
    """Return why a message with this payload may not go through the service, or None if it may.

    A Shield envelope is opaque: no schema is applied to it.
    """
    if not reads_content(service):
        return None
    if not content.available:
        return Blocked("payload_unavailable", "The payload has expired or was erased.")
    if isinstance(content.value, dict) and content.value.get("type") == SHIELD_ENVELOPE:
        return None
    if service.shield_required:
        return Blocked("shield_required", "The service takes encrypted payloads only; send it through Shield.")
    broken = None if service.schema is None else violation(service.schema, content.value)
    return None if broken is None else Blocked("schema_mismatch", broken)
