"""What a catalog file may hold, and where its names refer to."""

from collections.abc import Iterator
from typing import Any, Final

from zekt_cli.catalog.located import InvalidFile, Located, Problem
from zekt_cli.catalog.rules import Fields, Rule, any_mapping, flag, integer, list_of, number, one_of, text

_LOGIN = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?"
_NAME = r"[A-Za-z0-9._-]{1,100}"
_SLUG = r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]"

_login = text(pattern=_LOGIN, wanted="a GitHub login")
_repository = text(pattern=f"{_LOGIN}/{_NAME}", wanted="a repository as owner/name")
_slug = text(pattern=_SLUG, wanted="a slug of 2 to 64 characters of a-z, 0-9 and -")
_workflow = text(pattern=r"\.github/workflows/[^/]+\.ya?ml", wanted="a path like .github/workflows/ci.yml")
_service = text(pattern=f"{_LOGIN}/{_SLUG}", wanted="a service as owner/slug")
_id = integer(1, 2**53)
_event_types = list_of(text(wanted="an event type of 1 to 100 characters", max_length=100))
_words = list_of(text())

_CONCLUSIONS = one_of(
    "success", "failure", "cancelled", "skipped", "neutral", "timed_out", "action_required", "stale", "startup_failure"
)

_accounts = Fields(
    {"login": _login},
    {
        "persona": one_of("provider", "consumer", "both"),
        "sku": one_of("free", "standard", "enterprise"),
        "accountId": _id,
    },
)
_repositories = Fields(
    {"repository": _repository, "enabledAs": list_of(one_of("provider", "consumer"))},
    {"repositoryId": _id, "installationId": _id},
)
_workflows = Fields(
    {"repository": _repository, "path": _workflow},
    {
        "branches": _words,
        "conclusions": list_of(_CONCLUSIONS),
        "events": _words,
        "mode": one_of("events", "events+messages"),
        "correlationWindowSeconds": number(0, 300),
    },
)
_services = Fields(
    {"owner": _login, "slug": _slug, "repository": _repository},
    {
        "alias": text(max_length=100),
        "description": text(pattern=".*"),
        "tags": _words,
        "workflow": _workflow,
        "eventTypes": _event_types,
        "visibility": one_of("public", "organisation", "private"),
        "listed": flag,
        "shieldRequired": flag,
        "schema": any_mapping,
    },
)
_subscriptions = Fields(
    {"service": _service, "target": _repository},
    {
        "eventTypes": _event_types,
        "durable": flag,
        "status": one_of("requested", "approved", "denied", "revoked", "paused"),
    },
)

LISTS: Final[dict[str, Rule]] = {
    "accounts": list_of(_accounts),
    "repositories": list_of(_repositories),
    "workflows": list_of(_workflows),
    "services": list_of(_services),
    "subscriptions": list_of(_subscriptions),
}
CATALOG: Final = Fields({"apiVersion": one_of("zekt.dev/v1")}, LISTS)

_KEYS: Final = {
    "accounts": ("login",),
    "repositories": ("repository",),
    "workflows": ("repository", "path"),
    "services": ("owner", "slug"),
    "subscriptions": ("service", "target"),
}


def checked(document: Located) -> dict[str, Any]:
    """Return the catalog in `document` as plain JSON types.

    Raises:
        InvalidFile: it breaks a rule; every violation is named at its place.
    """
    problems = list(CATALOG(document))
    if not problems:
        problems = list(_repeated(document))
    if problems:
        raise InvalidFile(problems)
    catalog: dict[str, Any] = document.plain()
    return catalog


def _repeated(document: Located) -> Iterator[Problem]:
    """Yield entries that define again what an entry before them has defined."""
    for member in document.value:
        first: dict[tuple[str, ...], Located] = {}
        for entry in member.value.value if member.key.value in _KEYS else ():
            fields = entry.plain()
            identity = tuple(str(fields[key]).lower() for key in _KEYS[member.key.value])
            if identity in first:
                yield entry.problem(f"{'/'.join(identity)} is already defined in line {first[identity].line}")
            first.setdefault(identity, entry)


def place(document: Located, path: list[str | int]) -> Located:
    """Return the value at `path`, or the nearest one around it: where an answer of the suite points at."""
    found = document
    for step in path:
        inner = _inside(found, step)
        if inner is None:
            break
        found = inner
    return found


def _inside(found: Located, step: str | int) -> Located | None:
    if found.kind == "mapping":
        return next((member.value for member in found.value if member.key.value == str(step)), None)
    if found.kind == "list" and str(step).isdigit() and int(step) < len(found.value):
        item: Located = found.value[int(step)]
        return item
    return None
