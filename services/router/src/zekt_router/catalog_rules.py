"""What must hold of an account's catalog, whoever changes it: persona, SKU, references and schemas.

Persona and SKU are asked what is being enabled, not what is enabled already: less of either takes nothing away.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from zekt_common.contracts.identity import REPOSITORY_LIMITS
from zekt_router.branches import is_pattern
from zekt_router.catalog_model import MAX_WINDOW_S, Account, Catalog, Service, Subscription, Workflow
from zekt_router.catalog_plan import entities, identity
from zekt_router.message_schema import schema_problem
from zekt_router.standing import is_still_owned, terms_of

MAX_ENTITY_BYTES = 128 * 1024
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]\Z")
MAX_EVENT_TYPE_LENGTH = 100
_CHANGED_BY = {
    "persona": "Its owner changes it there (PUT /api/account)",
    "sku": "Operators change it there (PUT /api/operations/identity/accounts/{id}/sku)",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule: of which entity and field, a stable code, and what to do about it."""

    kind: str
    key: Any
    field: str
    code: str
    detail: str


def problems_of(before: Catalog, catalog: Catalog) -> list[Problem]:
    """Return everything that is wrong with the catalog, or with having come to it from `before`."""
    account = catalog.account
    if account is None:
        return [Problem(kind="account", key=None, field="", code="account_missing", detail="Name the account first.")]
    return [
        *_record(account, before, catalog),
        *_owner(before, catalog),
        *_persona(account, before, catalog),
        *_sku(account, before, catalog),
        *_size(before, catalog),
        *(problem for workflow in catalog.workflows.values() for problem in _workflow(workflow, catalog)),
        *(problem for service in catalog.services.values() for problem in _service(service, catalog)),
        *(
            problem
            for subscription in catalog.subscriptions.values()
            for problem in _subscription(subscription, catalog)
        ),
    ]


def _record(account: Account, before: Catalog, catalog: Catalog) -> Iterator[Problem]:
    """Refuse to have a document say other terms than the account's own record."""
    terms, known = terms_of(catalog), before.account
    for field, said, was, holds in (
        ("persona", account.persona, known and known.persona, terms.persona),
        ("sku", account.sku, known and known.sku, terms.sku),
    ):
        if terms.recorded and said not in (was, holds):
            yield Problem(
                kind="account",
                key=account.account_id,
                field=field,
                code="account_has_record",
                detail=f"{account.login}'s {field} is {holds}, by the account's own record. {_CHANGED_BY[field]};"
                " leave it out here.",
            )


def _owner(before: Catalog, catalog: Catalog) -> Iterator[Problem]:
    """Refuse to list what belongs to somebody else: whoever wrote ids may have written another's."""
    for repository_id in catalog.repositories.keys() - before.repositories.keys():
        standing = catalog.standings.get(repository_id)
        if standing is not None and standing.status == "covered" and not is_still_owned(catalog, standing):
            name = catalog.repositories[repository_id].repository
            yield Problem(
                kind="repository",
                key=repository_id,
                field="repository",
                code="repository_elsewhere",
                detail=f"{name} (id {repository_id}) belongs to another account at GitHub; list it as its owner's.",
            )


def _persona(account: Account, before: Catalog, catalog: Catalog) -> Iterator[Problem]:
    persona = terms_of(catalog).persona
    for repository in catalog.repositories.values():
        known = before.repositories.get(repository.repository_id)
        for role in repository.enabled_as:
            if persona not in (role, "both") and (known is None or role not in known.enabled_as):
                yield Problem(
                    kind="repository",
                    key=repository.repository_id,
                    field="enabledAs",
                    code="persona_missing",
                    detail=f"{repository.repository} cannot be enabled as {role}: {account.login}'s persona is"
                    f" {persona}. Set it to {role} or both.",
                )


def _sku(account: Account, before: Catalog, catalog: Catalog) -> Iterator[Problem]:
    sku = terms_of(catalog).sku
    limit, enabled = REPOSITORY_LIMITS[sku], _enabled(catalog)
    if limit is not None and len(enabled) > limit and enabled - _enabled(before):
        yield Problem(
            kind="account",
            key=account.account_id,
            field="sku",
            code="sku_limit_exceeded",
            detail=f"{account.login} would have {len(enabled)} enabled repositories; sku {sku} allows {limit}."
            " Enable fewer, or have an operator give it a larger sku.",
        )


def _enabled(catalog: Catalog) -> set[int]:
    """Return the account's own repositories that are enabled, each once on whichever side."""
    return {
        repository.repository_id
        for repository in catalog.repositories.values()
        if repository.enabled_as and _counts(repository.repository_id, catalog)
    }


def _counts(repository_id: int, catalog: Catalog) -> bool:
    """Return False for what the App sees no more, or sees with another owner."""
    standing = catalog.standings.get(repository_id)
    return standing is None or (standing.status == "covered" and is_still_owned(catalog, standing))


def _size(before: Catalog, catalog: Catalog) -> Iterator[Problem]:
    """Refuse what would not fit into an append, or into a message to another service."""
    known = {identity(entity): entity for entity in entities(before)}
    for entity in entities(catalog):
        kind, key = identity(entity)
        if known.get((kind, key)) != entity and len(msgspec.json.encode(entity)) > MAX_ENTITY_BYTES:
            detail = f"One {kind} may have at most {MAX_ENTITY_BYTES // 1024} KB of JSON. Shorten its lists and texts."
            yield Problem(kind=kind, key=key, field="", code="entity_too_large", detail=detail)


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
