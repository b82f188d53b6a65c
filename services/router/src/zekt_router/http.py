"""The router's doors: the catalog and its audit, for operators and owners, and what became of a run, for operators."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER, check_owner
from zekt_common.auth.requirements import Operator, OperatorOrOwner
from zekt_common.errors import StorageUnusable, StreamConflict
from zekt_common.kit.account_audit import audit_page
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.identity_client import TokensUnavailable
from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.service import Route
from zekt_common.ports import EventStore, Views
from zekt_router.allowance import parse_allowed
from zekt_router.apply import Applier, PartlyApplied
from zekt_router.catalog_document import InvalidDocument
from zekt_router.catalogs import Catalogs
from zekt_router.directory import GitHubUnavailable
from zekt_router.projections import ACCOUNTS, account_key
from zekt_router.run_model import run_stream
from zekt_router.shown import shown_catalog, shown_run

MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
ACCOUNTS_PER_PAGE: Final = 100
RETRY_AFTER_S: Final = 5
MAX_ID_DIGITS: Final = 18
_PRIVATE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What the doors work with while the service runs."""

    applier: Applier
    catalogs: Catalogs
    store: EventStore
    views: Views
    operated: Operated


def routes(doors: Callable[[], Doors]) -> list[Route]:
    """Return the router's routes; `doors` is called per request."""
    handlers = _Handlers(doors)
    return [
        Route(
            method="POST",
            path="/api/catalog/apply",
            handler=handlers.apply,
            requires=OperatorOrOwner(),
            max_body_bytes=MAX_DOCUMENT_BYTES,
        ),
        Route(method="GET", path="/api/catalog", handler=handlers.get_catalog, requires=OperatorOrOwner()),
        Route(method="GET", path="/api/catalog/audit", handler=handlers.get_audit, requires=OperatorOrOwner()),
        Route(
            method="GET",
            path=r"/api/runs/{repository_id:\d{1,18}}/{run_id:\d{1,18}}",
            handler=handlers.get_run,
            requires=Operator(),
        ),
        *operations_routes("router", lambda: doors().operated),
    ]


class _Handlers:
    def __init__(self, doors: Callable[[], Doors]) -> None:
        self._doors = doors

    async def apply(self, request: web.Request) -> web.Response:
        """Bring the catalog to what the body says; 422 names every problem by its path, and then nothing changed."""
        try:
            document = parse_allowed(await request.read(), request[CALLER])
            applied = await self._doors().applier.apply(document, request[CALLER])
        except InvalidDocument as invalid:
            detail = f"Correct the {len(invalid.problems)} problem(s); nothing was changed."
            return json_response(
                {"error": "invalid_catalog", "detail": detail, "problems": invalid.problems}, status=422
            )
        except PartlyApplied as partly:
            return _partly(partly)
        except TokensUnavailable as error:
            raise _unavailable("identity_unavailable", str(error), error.retry_after_s) from error
        except GitHubUnavailable as error:
            raise _unavailable("github_unavailable", str(error), RETRY_AFTER_S) from error
        except StreamConflict as error:
            raise Refusal(
                409, "catalog_changed", "Somebody else is changing the same accounts. Apply again."
            ) from error
        return json_response(applied)

    async def get_catalog(self, request: web.Request) -> web.Response:
        """A page of accounts with their catalogs; `next` continues it as `after`, and is null at the end.

        A person gets to see their own account alone.
        """
        doors, caller = self._doors(), request[CALLER]
        if not caller.is_operator and caller.account_id is not None:
            return json_response({"accounts": await self._own(caller.account_id), "next": None}, headers=_PRIVATE)
        page = await doors.views.listing(ACCOUNTS, after=request.query.get("after", ""), limit=ACCOUNTS_PER_PAGE)
        shown = [await self._shown(doors.catalogs, int(document.id)) for document in page]
        more = page[-1].id if len(page) == ACCOUNTS_PER_PAGE else None
        return json_response({"accounts": shown, "next": more}, headers=_PRIVATE)

    async def _own(self, account_id: int) -> list[dict[str, Any]]:
        doors = self._doors()
        is_known = await doors.views.get(ACCOUNTS, account_key(account_id)) is not None
        return [await self._shown(doors.catalogs, account_id)] if is_known else []

    async def _shown(self, catalogs: Catalogs, account_id: int) -> dict[str, Any]:
        at = await catalogs.latest(account_id)
        return shown_catalog(at, await catalogs.targets(at.catalog.subscriptions.values()))

    async def get_audit(self, request: web.Request) -> web.Response:
        """What a person ordered here and was refused, newest first: one's own, or of whom an operator names."""
        account_id = _account_id(request)
        check_owner(request[CALLER], [account_id])
        return await audit_page(request, self._doors().views, account_id)

    async def get_run(self, request: web.Request) -> web.Response:
        """What became of a run: its attempts, messages and deliveries, and whatever was blocked or refused, and why."""
        repository_id, run_id = int(request.match_info["repository_id"]), int(request.match_info["run_id"])
        events = await self._doors().store.read(run_stream(repository_id, run_id))
        if not events:
            raise Refusal(404, "run_not_found", "The router has not heard of this run: no completion and no message.")
        return json_response({"repositoryId": repository_id, "runId": run_id, **shown_run(events)})


def _account_id(request: web.Request) -> int:
    value = request.query.get("accountId", str(request[CALLER].account_id))
    if not (value.isascii() and value.isdigit() and len(value) <= MAX_ID_DIGITS):
        raise Refusal(400, "invalid_account", "Name the account by its GitHub user id: accountId=583231.")
    return int(value)


def _partly(partly: PartlyApplied) -> web.Response:
    """Return what was applied, and the status that the rest alone would have had."""
    status = 503 if isinstance(partly.__cause__, StorageUnusable) else 409
    told = {"error": "catalog_partly_applied", "detail": str(partly), **msgspec.structs.asdict(partly.applied)}
    return json_response(told, status=status)


def _unavailable(code: str, detail: str, retry_after_s: float) -> Refusal:
    return Refusal(503, code, f"{detail}. Try again.", headers={"Retry-After": str(math.ceil(retry_after_s))})
