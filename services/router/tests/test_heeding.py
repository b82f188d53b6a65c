"""The router with identity's messages on the bus: catalogs follow at once, whichever of the two came first."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.router.tests.conftest import CI, PATIENCE_S, T0
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import utc_now
from zekt_common.contracts.identity import AccountChanged, InstallationChanged, RepositoryChanged
from zekt_common.envelope import Event, NewEvent
from zekt_common.ports import Remove
from zekt_router.catalog_events import AccountDefined, RepositoryDefined, RepositorySeen
from zekt_router.catalog_model import Account, Repository, catalog_stream
from zekt_router.heard import INSTALLATIONS, REPOSITORIES
from zekt_router.projections import REPOSITORIES as LISTED

BETA = Account(account_id=2, login="beta")
SOON_S = (utc_now() - T0).total_seconds() + 3600
ACTIVE = InstallationChanged(installation_id=6, account_id=2, login="beta", status="active")


def provider(**changes: Any) -> RepositoryChanged:
    plain: dict[str, Any] = {"repository_id": 11, "repository": "acme/provider", "account_id": 1, "installation_id": 5}
    return RepositoryChanged(**(plain | {"archived": False, "status": "covered"} | changes))


def consumer(**changes: Any) -> RepositoryChanged:
    return provider(
        **({"repository_id": 22, "repository": "beta/consumer", "account_id": 2, "installation_id": 6} | changes)
    )


def about_beta(body: Event) -> NewEvent:
    return NewEvent(body=body, source="test", subject="2", correlationid="x", causationid="x", accountid="2")


def names(catalogs: dict[int, Any]) -> list[str]:
    return [each["repository"] for catalog in catalogs.values() for each in catalog["repositories"]]


def targets(catalogs: dict[int, Any]) -> list[str]:
    return [each["targetRepository"] for catalog in catalogs.values() for each in catalog["subscriptions"]]


def reasons(catalogs: dict[int, Any]) -> list[str]:
    blocked = [each["blocked"] for catalog in catalogs.values() for each in catalog["repositories"]]
    return [each["reason"] for each in blocked if each]


async def test_a_renamed_repository_is_shown_and_delivered_to_under_its_present_name(router: Any) -> None:
    await router.apply()
    await router.state(consumer(repository="beta/customer"))
    await router.catalog(lambda catalogs: "beta/customer" in names(catalogs) and targets(catalogs) == ["beta/customer"])
    await router.complete(0)
    await router.watermark(2)
    story = await router.settled(lambda body: body["deliveries"])
    assert [delivery["targetRepository"] for delivery in story["deliveries"]] == ["beta/customer"]


async def test_a_document_that_has_the_old_name_changes_nothing(router: Any) -> None:
    await router.apply()
    await router.state(consumer(repository="beta/customer"))
    await router.catalog(lambda catalogs: "beta/customer" in names(catalogs))
    _, applied = await router.apply()
    assert {change["action"] for change in applied["changes"]} == {"unchanged"}
    assert "beta/customer" in names(await router.catalog(bool))


async def test_a_renamed_repository_is_found_by_its_present_name_alone(router: Any) -> None:
    await router.apply()
    await router.state(consumer(repository="beta/customer"))
    await router.catalog(lambda catalogs: "beta/customer" in names(catalogs))
    await kept(router, LISTED, "beta/customer")
    by_new_name = {"service": "acme/ci-finished", "target": "beta/customer", "status": "paused"}
    status, _ = await router.post("/api/catalog/apply", {"subscriptions": [by_new_name]})
    assert status == 200
    status, body = await router.post(
        "/api/catalog/apply", {"subscriptions": [by_new_name | {"target": "beta/consumer"}]}
    )
    assert (status, body["problems"][0]["code"]) == (422, "repository_unknown")


async def test_a_transferred_repository_is_blocked_for_its_old_owner_until_the_new_one_lists_it(router: Any) -> None:
    await router.apply()
    moved = provider(repository="gamma/provider", account_id=3, installation_id=7)
    await router.state(moved, 2)
    catalogs = await router.catalog(lambda catalogs: reasons(catalogs) == ["repository_transferred"])
    assert names(catalogs) == ["acme/provider", "beta/consumer"]
    gammas = {
        "accounts": [{"login": "gamma", "accountId": 3}],
        "repositories": [
            {"repository": "gamma/provider", "enabledAs": ["provider"], "repositoryId": 11, "installationId": 7}
        ],
        "workflows": [{"repository": "gamma/provider", "path": CI}],
    }
    assert (await router.post("/api/catalog/apply", gammas))[0] == 200
    await router.complete(0, owner_id=3, repository="gamma/provider")
    story = await router.settled(lambda body: body["attempts"])
    assert (story["attempts"][0]["status"], story["deliveries"]) == ("accepted", [])


async def test_a_run_of_the_old_owner_that_is_heard_of_after_the_transfer_says_why_it_is_blocked(router: Any) -> None:
    await router.apply()
    await router.state(provider(account_id=3), 2)
    await router.catalog(lambda catalogs: reasons(catalogs) == ["repository_transferred"])
    await router.complete(0)
    story = await router.settled(lambda body: body["attempts"])
    assert (story["attempts"][0]["status"], story["attempts"][0]["reason"]) == ("blocked", "repository_transferred")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (consumer(archived=True), "repository_archived"),
        (consumer(status="withdrawn"), "repository_withdrawn"),
        (consumer(account_id=3, installation_id=7), "repository_transferred"),
        (
            InstallationChanged(installation_id=6, account_id=2, login="beta", status="suspended"),
            "installation_suspended",
        ),
        (InstallationChanged(installation_id=6, account_id=2, login="beta", status="removed"), "installation_removed"),
    ],
)
async def test_a_subscription_is_refused_by_what_stands_in_its_targets_way(router: Any, said: Any, reason: str) -> None:
    await router.apply()
    await router.state(said)
    catalogs = await router.catalog(
        lambda catalogs: reasons(catalogs) == [reason] and catalogs[1]["subscriptions"][0]["blocked"]
    )
    assert catalogs[1]["subscriptions"][0]["blocked"]["reason"] == reason
    await router.complete(0)
    await router.watermark(2)
    story = await router.settled(lambda body: body["refused"])
    assert [refused["reason"] for refused in story["refused"]] == [reason]


async def test_what_was_said_before_the_catalog_was_applied_counts_from_the_first_moment(router: Any) -> None:
    await router.state(consumer(archived=True, repository="beta/customer"))
    await kept(router, REPOSITORIES, "22")
    await router.apply()
    catalogs = await router.catalog(bool)
    assert (names(catalogs)[1], reasons(catalogs)) == ("beta/customer", ["repository_archived"])


async def test_a_suspension_that_is_over_counts_in_whatever_order_it_is_told(router: Any) -> None:
    await router.apply()
    suspended = InstallationChanged(installation_id=6, account_id=2, login="beta", status="suspended")
    for body, version in ((ACTIVE, 3), (suspended, 2), (ACTIVE, 3), (ACTIVE, 1)):
        await router.state(body, version)
    await kept(router, INSTALLATIONS, "6")
    await router.catalog(bool)
    await heeded(router)
    assert reasons(await router.catalog(bool)) == []


async def test_an_account_that_agreed_to_less_is_refused_more_and_an_upgrade_counts_at_once(router: Any) -> None:
    await router.apply()
    await router.state(AccountChanged(account_id=1, status="open", persona="provider", sku="free"))
    await router.catalog(lambda catalogs: catalogs[1]["account"]["recorded"])
    more = {
        "repositories": [
            {"repository": f"acme/r{n}", "enabledAs": ["provider"], "repositoryId": 100 + n, "installationId": 5}
            for n in range(2)
        ]
    }
    status, body = await router.post("/api/catalog/apply", more)
    assert (status, [problem["code"] for problem in body["problems"]]) == (422, ["sku_limit_exceeded"])
    assert names(await router.catalog(bool)) == ["acme/provider", "beta/consumer"]
    await router.state(AccountChanged(account_id=1, status="open", persona="provider", sku="standard"), 2)
    await router.catalog(lambda catalogs: catalogs[1]["account"]["sku"] == "standard")
    assert (await router.post("/api/catalog/apply", more))[0] == 200


async def test_somebody_elses_repository_cannot_be_listed_by_its_ids(router: Any) -> None:
    await router.state(consumer())
    await kept(router, REPOSITORIES, "22")
    stolen = {"repository": "acme/mine", "enabledAs": ["consumer"], "repositoryId": 22, "installationId": 6}
    status, body = await router.post(
        "/api/catalog/apply", {"accounts": [{"login": "acme", "accountId": 1}], "repositories": [stolen]}
    )
    assert status == 422
    assert [(problem["path"], problem["code"]) for problem in body["problems"]] == [
        ("repositories[0].repository", "repository_elsewhere")
    ]


async def test_many_repositories_that_change_together_are_all_heeded(router: Any) -> None:
    listed = [
        {"repository": f"acme/r{n}", "enabledAs": ["provider"], "repositoryId": 100 + n, "installationId": 5}
        for n in range(40)
    ]
    await router.apply(repositories=listed, workflows=[], services=[], subscriptions=[])
    for number in range(40):
        await router.state(provider(repository_id=100 + number, repository=f"acme-inc/r{number}"))
    renamed = {f"acme-inc/r{number}" for number in range(40)}
    await router.catalog(lambda catalogs: renamed <= set(names(catalogs)))
    assert await router.backend.bus.dead_letters("identity", "router") == []


async def test_a_catalog_whose_applying_was_cut_short_is_settled_by_its_timer(hosting: Any, tmp_path: Path) -> None:
    """The catalog is stored while nobody runs who could look up what was heard, as after a crash in between."""
    async with hosting() as router:
        await router.state(consumer(archived=True))
        await kept(router, REPOSITORIES, "22")
    listed = Repository(repository_id=22, repository="beta/consumer", installation_id=6, enabled_as=["consumer"])
    stored = [AccountDefined(account=BETA), RepositoryDefined(account_id=2, repository=listed)]
    async with open_backend(tmp_path, "router") as backend:
        await backend.store.append(catalog_stream(2), [about_beta(body) for body in stored], expected_version=0)
    async with hosting() as router:
        await router.watermark(SOON_S)
        await router.catalog(lambda catalogs: reasons(catalogs) == ["repository_archived"])


async def test_the_view_of_identity_is_had_again_by_having_it_say_everything_once_more(router: Any) -> None:
    await router.apply()
    await router.state(consumer(archived=True), 4)
    await router.catalog(lambda catalogs: reasons(catalogs) == ["repository_archived"])
    await router.backend.views.write([Remove(partition=REPOSITORIES, id="22")])
    await router.state(consumer(archived=True), 4)
    await kept(router, REPOSITORIES, "22")
    stored = [event for event in await router.backend.store.read("catalog/2") if event.type == RepositorySeen.TYPE]
    assert len(stored) == 1


async def heeded(router: Any) -> None:
    """Wait until the router has done with all of identity's messages, which it takes up side by side."""
    receiver = router.backend.bus.subscribe("identity", "router")
    async with asyncio.timeout(PATIENCE_S):
        while await receiver.backlog():  # noqa: ASYNC110 - another's doing
            await asyncio.sleep(0.01)


async def kept(router: Any, partition: str, id_: str) -> None:
    """Wait until this is in the router's views: what a message says, or what the catalogs list."""
    async with asyncio.timeout(PATIENCE_S):
        while await router.backend.views.get(partition, id_) is None:  # noqa: ASYNC110 - views announce nothing
            await asyncio.sleep(0.01)
