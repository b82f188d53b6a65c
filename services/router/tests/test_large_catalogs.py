"""Catalogs that take more than one append: whole in the end, and sound wherever applying them is cut short."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.router.tests.conftest import CATALOG
from services.router.tests.test_catalog import ACME, account, repository, service, subscription, workflow
from services.router.tests.test_partly_applied import applier
from services.router.tests.test_runs_process import CutStore
from zekt_common.adapters.embedded import Backend
from zekt_common.append_limits import MAX_BYTES, MAX_EVENTS, weight
from zekt_common.auth.authorisation import LOCAL_OPERATOR
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.kit.projector import Projector
from zekt_router.apply import Applied, PartlyApplied
from zekt_router.catalog import CatalogRefused, Define, Heed, decide, evolve_all
from zekt_router.catalog_appends import portions
from zekt_router.catalog_document import parse_document
from zekt_router.catalog_events import (
    AccountRecorded,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
)
from zekt_router.catalog_model import (
    AccountRecord,
    Catalog,
    InstallationStanding,
    RepositoryStanding,
    subscription_id,
)
from zekt_router.catalog_rules import problems_of
from zekt_router.catalogs import Catalogs
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.projections import project

MANY = 120
LARGE: dict[str, Any] = CATALOG | {
    "accounts": [{"login": "acme", "accountId": 1}, {"login": "beta", "accountId": 2, "sku": "enterprise"}],
    "repositories": [
        CATALOG["repositories"][0],
        *(
            {"repository": f"beta/r{n}", "enabledAs": ["consumer"], "repositoryId": 100 + n, "installationId": 6}
            for n in range(MANY)
        ),
    ],
    "subscriptions": [
        {"service": "acme/ci-finished", "target": f"beta/r{n}", "status": "approved"} for n in range(MANY)
    ],
}


def standing(repository_id: int, **fields: Any) -> RepositoryStanding:
    plain: dict[str, Any] = {"repository": f"acme/r{repository_id}", "account_id": ACME, "installation_id": 5}
    return RepositoryStanding(
        version=1, repository_id=repository_id, **(plain | {"archived": False, "status": "covered"} | fields)
    )


def subscribed(slug: str, target: int, status: Any) -> Any:
    id_ = subscription_id(ACME, slug, target)
    return subscription(subscription_id=id_, service_slug=slug, target_repository_id=target, status=status)


@st.composite
def definitions(draw: st.DrawFn) -> Define:
    """Documents about one account with a small limit, which rename, move, withdraw and leave out."""
    ids = sorted(draw(st.sets(st.integers(11, 14), min_size=1)))
    slugs = sorted(draw(st.sets(st.sampled_from(["aa", "bb"]))))
    statuses = st.sampled_from(["approved", "paused", "requested"])
    targets = [(slug, target) for slug in slugs for target in draw(st.sets(st.integers(21, 23)))]
    said = [standing(id_, archived=draw(st.booleans())) for id_ in draw(st.sets(st.integers(11, 14)))]
    return Define(
        account_id=ACME,
        account=account(draw(st.sampled_from(["provider", "both"])), draw(st.sampled_from(["free", "standard"]))),
        repositories=[repository(id_, enabled=draw(st.booleans()), name=f"acme/r{id_}") for id_ in ids],
        workflows=[workflow(repository_id=id_, branches=draw(st.sampled_from([[], ["main"]]))) for id_ in ids],
        services=[service(slug=slug, repository_id=draw(st.sampled_from(ids))) for slug in slugs],
        subscriptions=[subscribed(slug, target, draw(statuses)) for slug, target in targets],
        prune=draw(st.booleans()),
        heard=Heed(
            account_id=ACME,
            repositories=said,
            installations=[
                InstallationStanding(version=1, installation_id=5, account_id=ACME, login="acme", status="active")
            ],
            record=draw(st.sampled_from([None, AccountRecord(version=1, account_id=ACME, persona="both", sku="free")])),
        ),
    )


def decided(catalog: Catalog, command: Define) -> list[Event]:
    try:
        return decide(catalog, command)
    except CatalogRefused:
        assume(False)  # noqa: FBT003 - hypothesis's word for another example
        raise


@settings(max_examples=300, deadline=None)
@given(definitions(), definitions())
def test_every_beginning_of_a_change_keeps_the_rules_and_applying_again_does_the_rest(
    first: Define, second: Define
) -> None:
    before = evolve_all(Catalog(), decided(Catalog(), first))
    events = decided(before, second)
    for cut in cuts(events):
        reached = evolve_all(before, events[:cut])
        assert problems_of(before, reached) == []
        assert finished(reached, second) == finished(before, second)


def finished(catalog: Catalog, command: Define) -> Catalog:
    """Return the catalog once it was applied, and has heeded what was heard, as it does behind that."""
    applied = evolve_all(catalog, decide(catalog, command))
    assert command.heard is not None
    return evolve_all(applied, decide(applied, command.heard))


def cuts(events: Sequence[Event]) -> list[int]:
    """Return how many events an append may end after, were it as small as it can be."""
    pairs = {(ServiceRemoved, ServiceDefined), (SubscriptionRemoved, SubscriptionDefined)}
    steps = [(type(one), type(other)) for one, other in itertools.pairwise(events)]
    return [number for number, step in enumerate(steps, start=1) if step not in pairs]


def wrapped(bodies: Sequence[Event]) -> list[NewEvent]:
    return [NewEvent(body=body, source="test", subject="1", correlationid="1", causationid="1") for body in bodies]


def moved(count: int) -> list[Event]:
    """Have a service with so many subscriptions move to another repository."""
    plain = Define(
        account_id=ACME,
        account=account(),
        repositories=[repository(11), repository(12, name="acme/other")],
        services=[service(workflow_path=None)],
        subscriptions=[subscribed("ci-finished", 100 + n, "approved") for n in range(count)],
    )
    before = evolve_all(Catalog(), decide(Catalog(), plain))
    return decide(before, Define(account_id=ACME, services=[service(repository_id=12, workflow_path=None)]))


def test_what_is_removed_to_be_defined_elsewhere_is_never_left_removed_by_a_portion() -> None:
    events = wrapped(moved(MANY))
    parts = list(portions(events))
    assert [event for part in parts for event in part] == events
    assert [len(part) for part in parts] == [98, 98, 46]
    assert {type(part[-1].body) for part in parts} == {SubscriptionDefined}


def test_portions_have_as_many_bytes_as_an_append_takes_at_most() -> None:
    services = [service(slug=f"s{n}", workflow_path=None, tags=["ü" * 200] * 200) for n in range(40)]
    command = Define(account_id=ACME, account=account(), repositories=[repository()], services=services)
    parts = list(portions(wrapped(decide(Catalog(), command))))
    assert sum(map(len, parts)) == 42
    assert all(len(part) <= MAX_EVENTS for part in parts)
    assert all(sum(weight(event.body) for event in part) <= MAX_BYTES for part in parts)


def test_an_entity_that_fits_into_no_message_is_refused() -> None:
    command = Define(
        account_id=ACME,
        account=account(),
        repositories=[repository()],
        services=[service(workflow_path=None, tags=["x" * 200] * 1000)],
    )
    with pytest.raises(CatalogRefused) as refused:
        decide(Catalog(), command)
    assert [(problem.kind, problem.code) for problem in refused.value.problems] == [("service", "entity_too_large")]


async def test_a_document_with_120_subscribers_is_applied_and_a_repeat_changes_nothing(router: Any) -> None:
    status, applied = await router.apply(**LARGE)
    assert status == 200
    assert len(applied["changes"]) == len(applied["positions"]) == 2 * MANY + 5
    catalogs = await router.catalog(bool)
    assert (len(catalogs[1]["subscriptions"]), len(catalogs[2]["repositories"])) == (MANY, MANY)
    status, applied = await router.apply(**LARGE)
    assert (status, applied["positions"]) == (200, [])


class LostAfter(CutStore):
    """A store in which somebody else wins every race after so many appends."""

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left == 0:
            raise StreamConflict(stream, expected=expected_version, actual=expected_version + 1)
        return await super().append(stream, events, expected_version=expected_version)


class Interrupted(CutStore):
    """A store in which something is heard of the account right after our first append."""

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        stored = await self._store.append(stream, events, expected_version=expected_version)
        if self.left:
            self.left = 0
            record = AccountRecord(version=1, account_id=1, persona="both", sku="standard")
            heard = wrapped([AccountRecorded(account_id=1, record=record)])
            await self._store.append(stream, heard, expected_version=stored[-1].version)
        return stored


@asynccontextmanager
async def applying(backend: Backend) -> AsyncIterator[Callable[[Any], Awaitable[Applied]]]:
    """Yield what applies the large document to a store, while its events are projected."""
    projector = Projector(backend.store, backend.views, name="router", project=project)
    running = asyncio.create_task(projector.run())
    document = parse_document(msgspec.json.encode(LARGE))
    yield lambda store: applier(backend, store, projector).apply(document, LOCAL_OPERATOR)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("appends", [0, 1, 2, 3])
async def test_applying_that_was_cut_after_any_append_is_finished_by_applying_again(
    backend: Backend, appends: int
) -> None:
    async with applying(backend) as apply:
        with pytest.raises(ConnectionAbortedError):
            await apply(CutStore(backend, appends))
        again = await apply(backend.store)
        stored = [len(await backend.store.read(f"catalog/{account_id}")) for account_id in (1, 2)]
        assert stored == [MANY + 4, MANY + 1]
        assert len(again.positions) == sum(stored) - [0, 99, 124, 223][appends]
        assert (await apply(backend.store)).positions == []


async def test_a_race_that_is_lost_between_two_portions_is_run_again_and_the_whole_change_is_shown(
    backend: Backend,
) -> None:
    async with applying(backend) as apply:
        applied = await apply(Interrupted(backend, 1))
    assert {change.action for change in applied.changes} == {"create"}
    assert len(applied.positions) == 2 * MANY + 5


async def test_an_account_that_was_begun_and_not_finished_is_told_as_such(backend: Backend) -> None:
    async with applying(backend) as apply:
        with pytest.raises(PartlyApplied, match=r"^Applied in part: acme\. Not applied: beta\. Apply again") as partly:
            await apply(LostAfter(backend, 1))
    assert partly.value.applied.positions == [f"catalog/1@{n}" for n in range(1, MAX_EVENTS + 1)]


async def test_what_is_heard_of_120_repositories_at_once_is_heeded(backend: Backend) -> None:
    async with applying(backend) as apply:
        await apply(backend.store)
    catalogs, heard = Catalogs(backend.store), Heard(backend.views)
    for n in range(MANY):
        said = standing(100 + n, repository=f"beta/r{n}", account_id=2, installation_id=6, archived=True)
        await heard.keep(said)
    await Heeding(backend.store, backend.views, catalogs, heard).settle(2)
    archived = [each.archived for each in (await catalogs.latest(2)).catalog.standings.values()]
    assert archived == [True] * MANY
