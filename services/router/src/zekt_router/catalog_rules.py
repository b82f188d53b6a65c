"""What must hold of an account's catalog, whoever changes it: persona, SKU, references and schemas."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from zekt_router.branches import is_pattern
from zekt_router.catalog_model import (
    ENABLED_REPOSITORIES,
    MAX_WINDOW_S,
    Account,
    Catalog,
    Service,
    Subscription,
    Workflow,
)
from zekt_router.message_schema import schema_problem

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]\Z")
MAX_EVENT_TYPE_LENGTH = 100


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule: of which entity and field, a stable code, and what to do about it."""

    kind: str
    key: Any
    field: str
    code: str
    detail: str


def problems_of(catalog: Catalog) -> list[Problem]:
    """Return everything that is wrong with the catalog."""
    account = catalog.account
    if account is None:
        return [Problem(kind="account", key=None, field="", code="account_missing", detail="Name the account first.")]
    return [
        *_persona(account, catalog),
        *_sku(account, catalog),
        *(problem for workflow in catalog.workflows.values() for problem in _workflow(workflow, catalog)),
        *(problem for service in catalog.services.values() for problem in _service(service, catalog)),
        *(
            problem
            for subscription in catalog.subscriptions.values()
            for problem in _subscription(subscription, catalog)
        ),
    ]


def _persona(account: Account, catalog: Catalog) -> Iterator[Problem]:
    for repository in catalog.repositories.values():
        for role in repository.enabled_as:
            if account.persona not in (role, "both"):
                yield Problem(
                    kind="repository",
                    key=repository.repository_id,
                    field="enabledAs",
                    code="persona_missing",
                    detail=f"{repository.repository} cannot be enabled as {role}: {account.login}'s persona is"
                    f" {account.persona}. Set it to {role} or both.",
                )


def _sku(account: Account, catalog: Catalog) -> Iterator[Problem]:
    limit = ENABLED_REPOSITORIES[account.sku]
    enabled = sum(1 for repository in catalog.repositories.values() if repository.enabled_as)
    if limit is not None and enabled > limit:
        yield Problem(
            kind="account",
            key=account.account_id,
            field="sku",
            code="sku_limit_exceeded",
            detail=f"{account.login} would have {enabled} enabled repositories; sku {account.sku} allows {limit}."
            " Choose a larger sku or enable fewer.",
        )


def _workflow(workflow: Workflow, catalog: Catalog) -> Iterator[Problem]:
    def problem(field: str, code: str, detail: str) -> Problem:
        key = (workflow.repository_id, workflow.path)
        return Problem(kind="workflow", key=key, field=field, code=code, detail=f"Workflow {workflow.path}: {detail}")

    if workflow.repository_id not in catalog.repositories:
        yield problem("repository", "repository_unknown", "its repository is not in the catalog; add it there first.")
    for pattern in workflow.branches:
        if not is_pattern(pattern):
            yield problem("branches", "branch_pattern_invalid", f"{pattern!r} is no branch name with * or **.")
    if not 0 <= workflow.correlation_window_s <= MAX_WINDOW_S:
        detail = f"the correlation window must be 0 to {MAX_WINDOW_S:g} seconds."
        yield problem("correlationWindowSeconds", "window_invalid", detail)


def _service(service: Service, catalog: Catalog) -> Iterator[Problem]:
    def problem(field: str, code: str, detail: str) -> Problem:
        detail = f"Service {service.slug}: {detail}"
        return Problem(kind="service", key=service.slug, field=field, code=code, detail=detail)

    if not _SLUG.match(service.slug):
        yield problem("slug", "slug_invalid", "a slug is 2 to 64 of a-z, 0-9 and -, with no - at an end.")
    if service.repository_id not in catalog.repositories:
        yield problem(
            "repository", "repository_unknown", "its repository is not in the account's catalog; add it there."
        )
    elif service.workflow_path and (service.repository_id, service.workflow_path) not in catalog.workflows:
        detail = f"{service.workflow_path} is not allow-listed; add it under workflows."
        yield problem("workflow", "workflow_unknown", detail)
    if not _are_event_types(service.event_types):
        yield problem("eventTypes", "event_type_invalid", f"event types have 1 to {MAX_EVENT_TYPE_LENGTH} characters.")
    wrong = None if service.schema is None else schema_problem(service.schema)
    if wrong:
        yield problem("schema", "schema_invalid", f"the schema {wrong}.")


def _subscription(subscription: Subscription, catalog: Catalog) -> Iterator[Problem]:
    def problem(field: str, code: str, detail: str) -> Problem:
        key = subscription.subscription_id
        return Problem(kind="subscription", key=key, field=field, code=code, detail=detail)

    name = f"{subscription.service_slug} -> {subscription.target_repository}"
    if subscription.service_slug not in catalog.services:
        detail = f"Subscription {name}: there is no such service; add it under services."
        yield problem("service", "service_unknown", detail)
    if not _are_event_types(subscription.event_types):
        detail = f"Subscription {name}: event types have 1 to {MAX_EVENT_TYPE_LENGTH} characters."
        yield problem("eventTypes", "event_type_invalid", detail)


def _are_event_types(event_types: list[str]) -> bool:
    return all(0 < len(event_type) <= MAX_EVENT_TYPE_LENGTH for event_type in event_types)
