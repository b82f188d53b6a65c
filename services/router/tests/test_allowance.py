"""What a person's document may cost: its names are looked up at GitHub, whose limits all tenants share."""

from typing import Any

import msgspec
import pytest

from zekt_common.adapters.embedded import Backend
from zekt_common.auth.authorisation import LOCAL_OPERATOR, Caller, NotOwner
from zekt_common.contracts.identity import Sku
from zekt_common.kit.errors import Refusal
from zekt_common.kit.projector import Projector
from zekt_router.allowance import LOOKUPS_AT_ONCE, MAX_BYTES, MAX_ENTRIES, Allowance, parse_allowed
from zekt_router.apply import Applier
from zekt_router.catalog_document import InvalidDocument
from zekt_router.catalog_model import AccountRecord, InstallationStanding
from zekt_router.catalogs import Catalogs
from zekt_router.directory import FoundRepository, KnownNames, NameUnknown
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.ownership import Ownership
from zekt_router.projections import project
from zekt_router.resolve import Resolver

ADA, BOB = 1, 2
PERSON = Caller(actor=str(ADA), is_operator=False, account_id=ADA)


class CountingGitHub:
    """A GitHub that has no repository of anybody's, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def repository(self, full_name: str, /) -> FoundRepository:
        self.asked.append(full_name)
        raise NameUnknown(f"{full_name} is not there.")

    async def account_id(self, login: str, /, *, through: str | None = None) -> int:
        self.asked.append(f"{login} through {through}")
        return {"ada": ADA, "bob": BOB}[login]


class Applying:
    """Documents applied without a host, by hand of a clock."""

    def __init__(self, backend: Backend) -> None:
        self.now = 0.0
        self.github = CountingGitHub()
        self.heard = Heard(backend.views)
        catalogs = Catalogs(backend.store)
        allowance = Allowance(catalogs, self.heard, monotonic=lambda: self.now)
        known = KnownNames(backend.views, catalogs, self.heard)
        self._applier = Applier(
            backend.store,
            catalogs,
            Resolver(known, self.github, catalogs, self.heard),
            Projector(backend.store, backend.views, name="router", project=project),
            Heeding(backend.store, backend.views, catalogs, self.heard),
            ownership=Ownership(known, self.github, allowance),
        )

    async def apply(self, document: dict[str, Any], caller: Caller = PERSON) -> None:
        await self._applier.apply(parse_allowed(msgspec.json.encode(document), caller), caller)

    async def problems(self, document: dict[str, Any], caller: Caller = PERSON) -> list[str]:
        """Return the codes of what is wrong with the document."""
        with pytest.raises(InvalidDocument) as refused:
            await self.apply(document, caller)
        return [problem.code for problem in refused.value.problems]

    async def know_ada(self, sku: Sku = "standard") -> None:
        await self.heard.keep(
            InstallationStanding(version=1, installation_id=5, account_id=ADA, login="Ada", status="active")
        )
        await self.heard.keep(AccountRecord(version=1, account_id=ADA, persona="both", sku=sku))


def listing(count: int, login: str = "ada", first: int = 0) -> dict[str, Any]:
    names = range(first, first + count)
    return {"repositories": [{"repository": f"{login}/r{n}", "enabledAs": ["provider"]} for n in names]}


@pytest.fixture
def applying(backend: Backend) -> Applying:
    return Applying(backend)


@pytest.mark.parametrize(("sku", "limit"), [("free", 2), ("standard", 50)])
async def test_more_repositories_than_the_sku_allows_are_refused_and_none_is_looked_up(
    applying: Applying, sku: Sku, limit: int
) -> None:
    await applying.know_ada(sku)
    assert await applying.problems(listing(limit + 1)) == ["sku_limit_exceeded"]
    assert applying.github.asked == []
    assert await applying.problems(listing(limit)) == ["repository_unknown"] * limit
    assert len(applying.github.asked) == limit
    assert await applying.problems(listing(limit + 1), LOCAL_OPERATOR) == ["repository_unknown"] * (limit + 1)


async def test_without_a_limit_of_the_skus_a_document_still_brings_a_hundred_new_ones_at_most(
    applying: Applying,
) -> None:
    await applying.know_ada("enterprise")
    assert await applying.problems(listing(LOOKUPS_AT_ONCE + 1)) == ["too_many_repositories"]
    assert applying.github.asked == []


async def test_a_persons_document_is_bounded_before_any_of_it_is_looked_at(applying: Applying) -> None:
    many: dict[str, Any] = {"workflows": [{}] * MAX_ENTRIES, "accounts": [{}]}
    assert await applying.problems(many) == ["document_too_large"]
    assert set(await applying.problems(many, LOCAL_OPERATOR)) == {"invalid"}
    large = {"accounts": [{"login": "a" * MAX_BYTES}]}
    with pytest.raises(Refusal) as refused:
        await applying.apply(large)
    assert (refused.value.status, refused.value.error) == (413, "body_too_large")
    assert set(await applying.problems(large, LOCAL_OPERATOR)) == {"invalid"}


async def test_a_person_has_names_looked_up_at_a_bounded_rate_and_an_operator_as_they_need(applying: Applying) -> None:
    await applying.know_ada()
    for round_ in range(2):
        await applying.problems(listing(50, first=50 * round_))
    with pytest.raises(Refusal) as refused:
        await applying.apply(listing(10, first=100))
    assert (refused.value.status, refused.value.error) == (429, "too_many_lookups")
    assert refused.value.headers == {"Retry-After": "360"}
    assert len(applying.github.asked) == 100
    await applying.problems(listing(100, first=100), LOCAL_OPERATOR)
    applying.now += 360
    await applying.problems(listing(10, first=100))


async def test_where_the_app_is_installed_a_login_is_known_without_github(applying: Applying) -> None:
    await applying.know_ada()
    assert await applying.problems({"workflows": [{"repository": "ADA/r0", "path": ".github/workflows/ci.yml"}]}) == [
        "repository_unknown"
    ]
    assert applying.github.asked == []


@pytest.mark.parametrize("changes", [{"login": "ada-of-old"}, {"status": "removed"}])
async def test_a_login_that_was_given_up_is_nobodys(applying: Applying, changes: dict[str, Any]) -> None:
    await applying.know_ada()
    then: dict[str, Any] = {"version": 2, "installation_id": 5, "account_id": ADA, "login": "ada", "status": "active"}
    await applying.heard.keep(InstallationStanding(**(then | changes)))
    assert await applying.heard.account_id("ada") is None


async def test_a_login_that_nobody_knows_is_asked_for_through_an_installation_and_never_as_anybody(
    applying: Applying,
) -> None:
    for login in ("bob", "ada"):
        with pytest.raises(NotOwner):
            await applying.apply({"accounts": [{"login": login}]})
    assert applying.github.asked == []
    assert await applying.problems(listing(1)) == ["repository_unknown"]
    assert applying.github.asked == ["ada through ada/r0", "ada/r0"]
