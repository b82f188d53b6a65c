"""Applying a catalog document: everything is checked before anything is written, then account by account appended."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from zekt_common.auth.authorisation import Caller
from zekt_common.decider import ATTEMPTS
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import StreamConflict, ZektError
from zekt_common.kit.projector import Projector
from zekt_common.ports import EventStore
from zekt_common.telemetry.tracing import current_span
from zekt_router.catalog import CatalogRefused, Define, decide, plan
from zekt_router.catalog_appends import append_in_portions
from zekt_router.catalog_document import CatalogDocument, DocumentProblem, InvalidDocument
from zekt_router.catalog_model import (
    Account,
    Catalog,
    Entity,
    Repository,
    Service,
    Subscription,
    Workflow,
    catalog_stream,
)
from zekt_router.catalog_plan import Change
from zekt_router.catalogs import Catalogs
from zekt_router.heeding import Heeding
from zekt_router.matching import CatalogAt
from zekt_router.ownership import Ownership
from zekt_router.resolve import Resolved, Resolver
from zekt_router.translate import SOURCE

_WIRE_NAMES: Final = {
    "repository_id": "repository",
    "workflow_path": "workflow",
    "correlation_window_s": "correlationWindowSeconds",
}


class ShownChange(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the diff."""

    kind: str
    name: str
    action: str
    fields: list[str] = []


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What applying did, or would do, and the ids of the events that it appended."""

    changes: list[ShownChange]
    positions: list[str] = []


class PartlyApplied(ZektError):
    """The first accounts of a document were changed and the others were not; applying it again is safe."""

    def __init__(self, applied: Applied, done: Sequence[str], begun: Sequence[str], undone: Sequence[str]) -> None:
        parts = {"Applied": done, "Applied in part": begun, "Not applied": undone}
        told = [f"{part}: {', '.join(logins)}." for part, logins in parts.items() if logins]
        super().__init__(" ".join([*told, "Apply again: what is as the document says is left alone."]))
        self.applied = applied


class Applier:
    """Applies documents; a repeat changes nothing and appends nothing."""

    def __init__(  # noqa: PLR0913 - everything an application touches
        self,
        store: EventStore,
        catalogs: Catalogs,
        resolver: Resolver,
        projector: Projector,
        heeding: Heeding,
        *,
        ownership: Ownership,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._resolver = resolver
        self._ownership = ownership
        self._projector = projector
        self._heeding = heeding

    async def apply(self, document: CatalogDocument, caller: Caller) -> Applied:
        """Bring the catalog to what the document says, and return once the router's own views show it.

        Raises:
            NotOwner: it concerns an account that is not the caller's own; nothing was changed.
            InvalidDocument: it breaks rules or names what nobody knows; nothing was changed.
            TokensUnavailable: identity or GitHub cannot answer now.
            GitHubUnavailable: likewise.
            StreamConflict: others kept changing the first account; nothing was changed.
            PartlyApplied: a later account, or the rest of a large one, could not be changed any more; the error's cause
                says why.
        """
        await self._ownership.check_document(caller, document)
        resolved = await self._resolver.resolve(document)
        self._ownership.check_resolved(caller, resolved)
        stored: list[Envelope] = []
        changes = await self._apply_all(await self._checked(resolved), resolved, stored, dry_run=document.dry_run)
        if stored:
            await self._projector.wait_for_events(stored)
            for account_id in resolved.logins:
                await self._heeding.settle(account_id)
        return _applied(changes, stored)

    async def _checked(self, resolved: Resolved) -> list[Define]:
        problems: list[DocumentProblem] = []
        for command in resolved.commands:
            try:
                decide((await self._catalogs.latest(command.account_id)).catalog, command)
            except CatalogRefused as refused:
                problems += _located(refused, command.account_id, resolved)
        if problems:
            raise InvalidDocument(problems)
        return resolved.commands

    async def _apply_all(
        self, commands: Sequence[Define], resolved: Resolved, stored: list[Envelope], *, dry_run: bool
    ) -> list[ShownChange]:
        changes: list[ShownChange] = []
        for index, command in enumerate(commands):
            before = len(stored)
            try:
                changes += await self._apply_one(command, resolved, stored, dry_run=dry_run)
            except ZektError as error:
                if not stored:
                    raise
                logins = [resolved.logins[each.account_id] for each in commands]
                rest = index + (len(stored) > before)
                raise PartlyApplied(
                    _applied(changes, stored), logins[:index], logins[index:rest], logins[rest:]
                ) from error
        return changes

    async def _apply_one(
        self, command: Define, resolved: Resolved, stored: list[Envelope], *, dry_run: bool
    ) -> list[ShownChange]:
        shown: list[ShownChange] = []
        before = len(stored)
        for race in range(ATTEMPTS):
            at = await self._catalogs.latest(command.account_id)
            if len(stored) == before:  # else what was done before the race was lost would be shown as unchanged
                shown = _shown(at.catalog, command, resolved)
            if dry_run:
                break
            try:
                await self._append(at, command, resolved, stored)
            except StreamConflict:
                if race == ATTEMPTS - 1:
                    raise
            else:
                break
        return shown

    async def _append(self, at: CatalogAt, command: Define, resolved: Resolved, stored: list[Envelope]) -> None:
        try:
            decided = decide(at.catalog, command)
        except CatalogRefused as refused:  # somebody else has changed the account since it was checked
            raise InvalidDocument(_located(refused, command.account_id, resolved)) from refused
        events, stream = _wrapped(decided, command.account_id), catalog_stream(command.account_id)
        await append_in_portions(self._store, stream, events, expected_version=at.version, stored=stored)


def _applied(changes: list[ShownChange], stored: Sequence[Envelope]) -> Applied:
    return Applied(changes=changes, positions=[envelope.id for envelope in stored])


def _wrapped(events: Sequence[Event], account_id: int) -> list[NewEvent]:
    span, applied = current_span(), f"apply-{secrets.token_hex(8)}"
    return [
        NewEvent(
            body=event,
            source=SOURCE,
            subject=str(account_id),
            correlationid=applied,
            causationid=applied,
            traceparent=span.traceparent if span else None,
            accountid=str(account_id),
        )
        for event in events
    ]


def _located(refused: CatalogRefused, account_id: int, resolved: Resolved) -> list[DocumentProblem]:
    """Return the problems at their paths in the document; of what it leaves out, at no path."""
    located = []
    for problem in refused.problems:
        path = resolved.paths.get((account_id, problem.kind, problem.key), "")
        where = f"{path}.{problem.field}" if path and problem.field else path
        located.append(DocumentProblem(path=where, code=problem.code, detail=problem.detail))
    return located


def _shown(catalog: Catalog, command: Define, resolved: Resolved) -> list[ShownChange]:
    names = {repository.repository_id: repository.repository for repository in catalog.repositories.values()}
    names |= {repository.repository_id: repository.repository for repository in command.repositories}
    login = resolved.logins[command.account_id]
    return [_show(change, login, names) for change in plan(catalog, command)]


def _show(change: Change, login: str, names: dict[int, str]) -> ShownChange:
    kind, name = _name(change.entity, login, names)
    return ShownChange(
        kind=kind, name=name, action=change.action, fields=[_wire_name(field) for field in change.fields]
    )


def _name(entity: Entity, login: str, names: dict[int, str]) -> tuple[str, str]:
    match entity:
        case Account():
            return "account", entity.login
        case Repository():
            return "repository", entity.repository
        case Workflow():
            return "workflow", f"{names.get(entity.repository_id, entity.repository_id)}/{entity.path}"
        case Service():
            return "service", f"{login}/{entity.slug}"
        case Subscription():
            return "subscription", f"{login}/{entity.service_slug} -> {entity.target_repository}"


def _wire_name(field: str) -> Any:
    """Return the field as documents call it."""
    first, *rest = _WIRE_NAMES.get(field, field).split("_")
    return first + "".join(part.capitalize() for part in rest)
