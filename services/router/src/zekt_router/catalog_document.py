"""The catalog as a document, with names instead of ids: its shape, and every problem of shape at its path."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from zekt_common.contracts.identity import Persona, Sku
from zekt_common.contracts.router import SubscriptionStatus
from zekt_common.errors import ZektError
from zekt_router.catalog_model import DEFAULT_WINDOW_S, MAX_WINDOW_S, Mode, Role, Visibility

Login: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?\Z")]
FullName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}\Z")]
ServiceName: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[a-z0-9][a-z0-9-]{0,62}[a-z0-9]\Z")
]
WorkflowPath: TypeAlias = Annotated[str, Meta(pattern=r"^\.github/workflows/[^/@]+\.ya?ml\Z", max_length=300)]
GitHubId: TypeAlias = Annotated[int, Meta(ge=1, le=2**53)]
Text: TypeAlias = Annotated[str, Meta(max_length=1000)]
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]


class AccountEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `accounts`."""

    login: Login
    persona: Persona | None = None
    sku: Sku | None = None
    account_id: GitHubId | None = None


class RepositoryEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `repositories`."""

    repository: FullName
    enabled_as: list[Role]
    repository_id: GitHubId | None = None
    installation_id: GitHubId | None = None


class WorkflowEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `workflows`."""

    repository: FullName
    path: WorkflowPath
    branches: list[Word] = []
    conclusions: list[Word] = []
    events: list[Word] = []
    mode: Mode = "events"
    correlation_window_seconds: Annotated[float, Meta(ge=0, le=MAX_WINDOW_S)] = DEFAULT_WINDOW_S


class ServiceEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `services`."""

    owner: Login
    slug: Word
    repository: FullName
    workflow: WorkflowPath | None = None
    alias: Text = ""
    description: Text = ""
    tags: list[Word] = []
    event_types: list[Word] = []
    visibility: Visibility = "private"
    listed: bool = False
    shield_required: bool = False
    schema: dict[str, Any] | None = None


class SubscriptionEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `subscriptions`; `service` is `owner/slug`."""

    service: ServiceName
    target: FullName
    event_types: list[Word] = []
    durable: bool = False
    status: SubscriptionStatus = "requested"

    @property
    def owner(self) -> str:
        """The login of the service's owner."""
        return self.service.partition("/")[0]

    @property
    def slug(self) -> str:
        """The service's slug."""
        return self.service.partition("/")[2]


class CatalogDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A whole document."""

    accounts: list[AccountEntry] = []
    repositories: list[RepositoryEntry] = []
    workflows: list[WorkflowEntry] = []
    services: list[ServiceEntry] = []
    subscriptions: list[SubscriptionEntry] = []
    dry_run: bool = False
    prune: bool = False


class DocumentProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at a path of the document, like `services[0].schema`, and what to do."""

    path: str
    code: str
    detail: str


class InvalidDocument(ZektError):
    """The document has problems; nothing was changed."""

    def __init__(self, problems: Sequence[DocumentProblem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.detail}" for problem in problems))
        self.problems = list(problems)


_Entry = TypeVar("_Entry", bound=msgspec.Struct)
_LISTS: Final[dict[str, tuple[type[msgspec.Struct], Callable[[Any], tuple[str, ...]]]]] = {
    "accounts": (AccountEntry, lambda entry: (entry.login,)),
    "repositories": (RepositoryEntry, lambda entry: (entry.repository,)),
    "workflows": (WorkflowEntry, lambda entry: (entry.repository, entry.path)),
    "services": (ServiceEntry, lambda entry: (entry.owner, entry.slug)),
    "subscriptions": (SubscriptionEntry, lambda entry: (entry.service, entry.target)),
}
_FLAGS: Final = {"dryRun": "dry_run", "prune": "prune"}
API_VERSION: Final = "zekt.dev/v1"


def parse_document(body: bytes, *, max_entries: int | None = None) -> CatalogDocument:
    """Return the document in this JSON; none of its entries is looked at where there are too many.

    Raises:
        InvalidDocument: it names every problem of shape.
    """
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidDocument([_problem("", f"The body is no JSON: {error}.")]) from None
    except UnicodeDecodeError:
        raise InvalidDocument([_problem("", "The body is not in UTF-8.")]) from None
    except RecursionError:
        raise InvalidDocument([_problem("", "The body is nested too deeply.")]) from None
    if not isinstance(content, dict):
        raise InvalidDocument([_problem("", "The body must be an object with the lists of a catalog.")])
    _check_count(content, max_entries)
    problems = list(_outer_problems(content))
    parsed: dict[str, Any] = {_FLAGS[name]: content[name] for name in _FLAGS if isinstance(content.get(name), bool)}
    for name, (entry, key) in _LISTS.items():
        entries = content.get(name)
        if isinstance(entries, list):
            parsed[name] = _entries(name, entries, entry, problems)
            problems += [] if problems else _repeated(name, parsed[name], key)
    if problems:
        raise InvalidDocument(problems)
    return CatalogDocument(**parsed)


def _check_count(content: dict[str, Any], max_entries: int | None) -> None:
    entries = sum(len(content[name]) for name in _LISTS if isinstance(content.get(name), list))
    if max_entries is not None and entries > max_entries:
        detail = f"The document has {entries} entries; {max_entries} are allowed. Apply it in parts."
        raise InvalidDocument([DocumentProblem(path="", code="document_too_large", detail=detail)])


def _outer_problems(content: dict[str, Any]) -> Iterator[DocumentProblem]:
    if content.get("apiVersion", API_VERSION) != API_VERSION:
        yield _problem("apiVersion", f"This suite understands apiVersion {API_VERSION} only.")
    for name, value in content.items():
        if name in _LISTS and not isinstance(value, list):
            yield _problem(name, "This must be a list.")
        elif name in _FLAGS and not isinstance(value, bool):
            yield _problem(name, "This must be true or false.")
        elif name not in _LISTS and name not in _FLAGS and name != "apiVersion":
            yield _problem(name, "This key is not known.")


def _entries(name: str, entries: list[Any], kind: type[_Entry], problems: list[DocumentProblem]) -> list[_Entry]:
    parsed: list[_Entry] = []
    for index, entry in enumerate(entries):
        found = list(_entry_problems(f"{name}[{index}]", entry, kind))
        problems += found
        if not found:
            parsed.append(msgspec.convert(entry, kind))
    return parsed


def _entry_problems(path: str, entry: Any, kind: type[msgspec.Struct]) -> Iterator[DocumentProblem]:
    """Yield what is wrong with each of the entry's fields."""
    if not isinstance(entry, dict):
        yield _problem(path, "This must be an object.")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in entry.keys() - fields.keys():
        yield _problem(f"{path}.{name}", "This key is not known.")
    for name, field in fields.items():
        if name in entry:
            try:
                msgspec.convert(entry[name], field.type)
            except msgspec.ValidationError as error:
                yield _problem(f"{path}.{name}", f"{error}.")
        elif field.required:
            yield _problem(path, f"The key {name} is missing.")


def _repeated(name: str, entries: Sequence[Any], key: Callable[[Any], tuple[str, ...]]) -> Iterator[DocumentProblem]:
    seen: set[tuple[str, ...]] = set()
    for index, entry in enumerate(entries):
        identity = tuple(part.lower() for part in key(entry))
        if identity in seen:
            yield DocumentProblem(
                path=f"{name}[{index}]", code="repeated", detail=f"{' '.join(identity)} is defined twice."
            )
        seen.add(identity)


def _problem(path: str, detail: str) -> DocumentProblem:
    return DocumentProblem(path=path, code="invalid", detail=detail)
