"""What identity says of repositories and installations: heeded once, in every order, and standing in the way."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from services.router.tests.told_runs import Teller, catalog, completion, message
from zekt_common.envelope import Event
from zekt_router.catalog import Heed, decide, evolve_all
from zekt_router.catalog_events import InstallationSeen, RepositorySeen
from zekt_router.catalog_model import Catalog, InstallationStanding, Repository, RepositoryStanding
from zekt_router.matching import CatalogAt
from zekt_router.policy import hindrance_of
from zekt_router.run_events import MessageBlocked, RunBlocked
from zekt_router.standing import present, present_login

ACME, PROVIDER, INSTALLATION = 1, 11, 5
LISTED = catalog().catalog


def standing(version: int = 1, **changes: Any) -> RepositoryStanding:
    plain = RepositoryStanding(
        version=version,
        repository_id=PROVIDER,
        repository="acme/provider",
        account_id=ACME,
        installation_id=INSTALLATION,
        archived=False,
        status="covered",
    )
    return replace(plain, **changes)


def installation(version: int = 1, **changes: Any) -> InstallationStanding:
    plain = InstallationStanding(
        version=version, installation_id=INSTALLATION, account_id=ACME, login="acme", status="active"
    )
    return replace(plain, **changes)


def heeding(*said: RepositoryStanding | InstallationStanding, known: Catalog = LISTED) -> Catalog:
    for each in said:
        known = evolve_all(known, decide(known, _heed(each)))
    return known


def _heed(said: RepositoryStanding | InstallationStanding) -> Heed:
    if isinstance(said, RepositoryStanding):
        return Heed(account_id=ACME, repositories=[said])
    return Heed(account_id=ACME, installations=[said])


def reason(known: Catalog) -> str | None:
    blocked = hindrance_of(known, known.repositories[PROVIDER])
    return None if blocked is None else blocked.reason


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ([], None),
        ([standing()], None),
        ([standing(archived=True)], "repository_archived"),
        ([standing(status="withdrawn")], "repository_withdrawn"),
        ([standing(account_id=2)], "repository_transferred"),
        ([standing(account_id=2), standing(2)], None),
        ([installation(status="suspended")], "installation_suspended"),
        ([installation(status="removed")], "installation_removed"),
        ([installation(status="suspended"), installation(2)], None),
        ([installation(installation_id=6, status="removed")], None),
        ([standing(installation_id=6), installation(status="removed")], None),
    ],
)
def test_what_stands_in_a_repositorys_way_is_said_by_its_reason(
    said: Sequence[RepositoryStanding | InstallationStanding], then: str | None
) -> None:
    assert reason(heeding(*said)) == then


def test_the_newest_state_holds_in_every_order() -> None:
    said = [standing(1), standing(2, archived=True), standing(3, repository="acme/renamed")]
    for order in itertools.permutations(said):
        assert heeding(*order, *order).standings[PROVIDER] == said[-1]


def test_what_is_known_is_not_stored_again() -> None:
    known = heeding(standing(2), installation(2))
    heed = Heed(account_id=ACME, repositories=[standing(1), standing(2)], installations=[installation(2)])
    assert decide(known, heed) == []


def test_what_no_catalog_lists_is_not_stored() -> None:
    assert decide(LISTED, Heed(account_id=ACME, repositories=[standing(repository_id=12)])) == []
    assert decide(Catalog(), Heed(account_id=ACME, repositories=[standing()], installations=[installation()])) == []


def test_a_repository_goes_by_its_present_name_and_installation() -> None:
    known = heeding(standing(repository="acme/renamed", installation_id=6))
    now = present(known, known.repositories[PROVIDER])
    assert (now.repository, now.installation_id, now.enabled_as) == ("acme/renamed", 6, ["provider"])


def test_a_repository_that_changed_hands_keeps_the_name_it_had_here() -> None:
    known = heeding(standing(repository="gamma/provider", account_id=2, installation_id=7))
    now = present(known, known.repositories[PROVIDER])
    assert (now.repository, now.installation_id) == ("acme/provider", INSTALLATION)


def test_an_account_goes_by_the_login_of_the_installation_it_has_now() -> None:
    assert present_login(LISTED) == "acme"
    renamed = heeding(installation(login="acme-inc"))
    assert present_login(renamed) == "acme-inc"
    again = heeding(installation(2, status="removed"), installation(installation_id=6, login="acme-ag"), known=renamed)
    assert present_login(again) == "acme-ag"


def told(known: Catalog, *facts: Any) -> Teller:
    return Teller(CatalogAt(known, 6)).tell(*facts)


def test_a_run_of_a_blocked_repository_is_recorded_with_the_reason() -> None:
    run = told(heeding(standing(archived=True)), completion())
    [blocked] = [event for event in run.events if isinstance(event, RunBlocked)]
    assert (blocked.reason, blocked.detail) == ("repository_archived", "Unarchive the repository at GitHub.")
    assert run.deliveries == set()


def test_a_message_that_comes_after_a_suspension_is_not_sent() -> None:
    run = told(LISTED, completion())
    suspended = CatalogAt(heeding(installation(status="suspended")), 6)
    run.catalog, run.catalogs = suspended, {ACME: suspended}
    run.tell(message(seconds=1))
    assert [event.reason for event in run.events if isinstance(event, MessageBlocked)] == ["installation_suspended"]


def test_a_new_owners_message_does_not_reach_the_old_owners_subscribers() -> None:
    run = told(LISTED, completion())
    run.catalogs[2] = CatalogAt(Catalog(), 0)
    run.tell(message(seconds=1, owner_id=2))
    assert [event.reason for event in run.events if isinstance(event, MessageBlocked)] == ["owner_changed"]
    assert run.deliveries == set()


def test_each_statement_is_an_event_with_the_whole_of_it() -> None:
    heed = Heed(account_id=ACME, repositories=[standing(4)], installations=[installation(3)])
    expected: list[Event] = [
        RepositorySeen(account_id=ACME, standing=standing(4)),
        InstallationSeen(account_id=ACME, standing=installation(3)),
    ]
    assert decide(LISTED, heed) == expected


def test_a_consumer_that_is_in_no_way_fit_is_refused_by_its_reason() -> None:
    beta = Catalog(
        account=LISTED.account,
        repositories={
            22: Repository(repository_id=22, repository="acme/c", installation_id=INSTALLATION, enabled_as=["consumer"])
        },
        standings={22: standing(repository_id=22, status="withdrawn")},
    )
    blocked = hindrance_of(beta, beta.repositories[22])
    assert blocked is not None
    run = Teller(catalog("events"), {22: blocked}).tell(completion())
    assert run.refusals == ["repository_withdrawn"]
