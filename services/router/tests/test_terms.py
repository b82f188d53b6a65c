"""What an account may enable: by its own record, else by the catalog; less of it takes nothing away."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from zekt_common.contracts.identity import REPOSITORY_LIMITS, Persona, Sku
from zekt_router.catalog import CatalogRefused, Define, Heed, decide, evolve_all
from zekt_router.catalog_model import Account, AccountRecord, Catalog, Repository, RepositoryStanding, Role
from zekt_router.standing import terms_of

ACME = 1


def account(persona: Persona = "both", sku: Sku = "standard") -> Account:
    return Account(account_id=ACME, login="acme", persona=persona, sku=sku)


def record(version: int = 1, *, persona: Persona | None = "both", sku: Sku | None = "free") -> AccountRecord:
    return AccountRecord(version=version, account_id=ACME, persona=persona, sku=sku)


def repository(number: int, *roles: Role) -> Repository:
    return Repository(repository_id=number, repository=f"acme/r{number}", installation_id=5, enabled_as=list(roles))


def standing(number: int, **changes: Any) -> RepositoryStanding:
    plain = RepositoryStanding(
        version=1,
        repository_id=number,
        repository=f"acme/r{number}",
        account_id=ACME,
        installation_id=5,
        archived=False,
        status="covered",
    )
    return replace(plain, **changes)


def enabling(*numbers: int, **fields: Any) -> Define:
    return Define(account_id=ACME, repositories=[repository(each, "provider") for each in numbers], **fields)


def having(known: Catalog, *commands: Define | Heed) -> Catalog:
    for command in commands:
        known = evolve_all(known, decide(known, command))
    return known


def with_enabled(count: int, **terms: Any) -> Catalog:
    return having(Catalog(), enabling(*range(1, count + 1), account=account(**terms)))


def refusals(known: Catalog, command: Define) -> list[tuple[str, str]]:
    with pytest.raises(CatalogRefused) as refused:
        decide(known, command)
    return [(problem.code, problem.field) for problem in refused.value.problems]


def test_an_accounts_own_record_holds_over_the_catalogs_word() -> None:
    known = having(with_enabled(1), Heed(account_id=ACME, record=record(persona="consumer")))
    assert (terms_of(known).persona, terms_of(known).sku, terms_of(known).recorded) == ("consumer", "free", True)


def test_once_the_owner_has_left_the_catalogs_word_holds_again() -> None:
    known = having(with_enabled(1), Heed(account_id=ACME, record=record()))
    known = having(known, Heed(account_id=ACME, record=record(2, persona=None, sku=None)))
    assert (terms_of(known).sku, terms_of(known).recorded) == ("standard", False)


def test_an_older_record_changes_nothing() -> None:
    known = having(with_enabled(1), Heed(account_id=ACME, record=record(3, sku="enterprise")))
    assert decide(known, Heed(account_id=ACME, record=record(2))) == []


def test_enabling_past_the_records_limit_is_refused_and_an_upgrade_counts_at_once() -> None:
    known = having(with_enabled(2), Heed(account_id=ACME, record=record()))
    assert refusals(known, enabling(3)) == [("sku_limit_exceeded", "sku")]
    upgraded = having(known, Heed(account_id=ACME, record=record(2, sku="standard")))
    assert len(having(upgraded, enabling(3)).repositories) == 3


def test_a_record_known_before_the_catalog_counts_from_the_first_document() -> None:
    first = enabling(1, 2, 3, account=account(sku="free"), heard=Heed(account_id=ACME, record=record()))
    assert refusals(Catalog(), first) == [("sku_limit_exceeded", "sku")]


def test_a_downgrade_disables_nothing_and_only_refuses_more() -> None:
    known = having(with_enabled(4), Heed(account_id=ACME, record=record(sku="free")))
    assert sum(bool(each.enabled_as) for each in known.repositories.values()) == 4
    one_less = having(known, Define(account_id=ACME, repositories=[repository(4)]))
    assert refusals(one_less, enabling(4)) == [("sku_limit_exceeded", "sku")]
    assert len(having(one_less, Define(account_id=ACME, repositories=[repository(5)])).repositories) == 5


def test_a_repository_counts_once_whichever_sides_it_is_enabled_on() -> None:
    both = [repository(1, "provider", "consumer"), repository(2, "consumer")]
    known = having(Catalog(), Define(account_id=ACME, account=account(sku="free"), repositories=both))
    more = Define(account_id=ACME, repositories=[repository(2, "consumer", "provider")])
    assert len(having(known, more).repositories) == 2
    assert refusals(known, enabling(3)) == [("sku_limit_exceeded", "sku")]


@pytest.mark.parametrize("gone", [{"status": "withdrawn"}, {"account_id": 2}])
def test_a_repository_that_is_gone_counts_no_more(gone: dict[str, Any]) -> None:
    known = with_enabled(2, sku="free")
    assert refusals(known, enabling(3)) == [("sku_limit_exceeded", "sku")]
    left = having(known, Heed(account_id=ACME, repositories=[standing(2, **gone)]))
    assert len(having(left, enabling(3)).repositories) == 3


def test_a_narrower_record_leaves_what_is_enabled_and_refuses_more() -> None:
    known = having(with_enabled(1), Heed(account_id=ACME, record=record(persona="consumer")))
    assert known.repositories[1].enabled_as == ["provider"]
    assert refusals(known, enabling(2)) == [("persona_missing", "enabledAs")]


def test_a_document_cannot_say_other_terms_than_the_accounts_own_record() -> None:
    known = having(with_enabled(1), Heed(account_id=ACME, record=record()))
    wanted = Define(account_id=ACME, account=account("provider", "enterprise"))
    assert refusals(known, wanted) == [("account_has_record", "persona"), ("account_has_record", "sku")]
    assert decide(known, Define(account_id=ACME, account=account(sku="free")))


def test_what_belongs_to_another_account_is_not_listed() -> None:
    theirs = Heed(account_id=ACME, repositories=[standing(9, account_id=2)])
    assert refusals(with_enabled(1), enabling(9, heard=theirs)) == [("repository_elsewhere", "repository")]


def test_nothing_of_a_refused_document_is_done() -> None:
    known = with_enabled(2, sku="free")
    assert refusals(known, enabling(3, account=account("provider", "free"))) == [("sku_limit_exceeded", "sku")]
    assert known == with_enabled(2, sku="free")


def test_the_page_on_catalogs_tells_each_skus_limit() -> None:
    page = (Path(__file__).parents[3] / "docs" / "catalog.md").read_text()
    for sku, limit in REPOSITORY_LIMITS.items():
        said = "no limit" if limit is None else str(limit)
        assert re.search(rf"`{sku}` \({said}( repositories)?\)", page), sku
