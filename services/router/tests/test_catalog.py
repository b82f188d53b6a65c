from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from zekt_common.contracts.identity import Persona, Sku
from zekt_router.branches import any_matches
from zekt_router.catalog import CatalogRefused, Define, decide, evolve_all, plan
from zekt_router.catalog_events import (
    AccountDefined,
    RepositoryDefined,
    RepositoryRemoved,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    WorkflowDefined,
    WorkflowRemoved,
)
from zekt_router.catalog_model import (
    Account,
    Catalog,
    Repository,
    Service,
    Subscription,
    Workflow,
    subscription_id,
)

ACME = 1
CI = ".github/workflows/ci.yml"


def account(persona: Persona = "both", sku: Sku = "standard") -> Account:
    return Account(account_id=ACME, login="acme", persona=persona, sku=sku)


def repository(repository_id: int = 11, *, enabled: bool = True, name: str = "acme/provider") -> Repository:
    roles: list[Any] = ["provider"] if enabled else []
    return Repository(repository_id=repository_id, repository=name, installation_id=5, enabled_as=roles)


def workflow(**fields: Any) -> Workflow:
    return replace(Workflow(repository_id=11, path=CI), **fields)


def service(**fields: Any) -> Service:
    return replace(Service(slug="ci-finished", repository_id=11, workflow_path=CI), **fields)


def subscription(**fields: Any) -> Subscription:
    plain = Subscription(
        subscription_id=subscription_id(ACME, "ci-finished", 22),
        service_slug="ci-finished",
        repository_id=11,
        target_repository_id=22,
        target_repository="beta/consumer",
        target_account_id=2,
        status="approved",
    )
    return replace(plain, **fields)


def whole(**fields: Any) -> Define:
    plain = Define(
        account_id=ACME,
        account=account(),
        repositories=[repository()],
        workflows=[workflow()],
        services=[service()],
        subscriptions=[subscription()],
    )
    return replace(plain, **fields)


def after(*commands: Define) -> Catalog:
    catalog = Catalog()
    for command in commands:
        catalog = evolve_all(catalog, decide(catalog, command))
    return catalog


def refusals(catalog: Catalog, command: Define) -> list[tuple[str, str]]:
    with pytest.raises(CatalogRefused) as refused:
        decide(catalog, command)
    return [(problem.kind, problem.code) for problem in refused.value.problems]


def test_a_first_apply_defines_every_entity_in_order() -> None:
    kinds = [type(event) for event in decide(Catalog(), whole())]
    assert kinds == [AccountDefined, RepositoryDefined, WorkflowDefined, ServiceDefined, SubscriptionDefined]


def test_applying_the_same_again_gives_no_event() -> None:
    assert decide(after(whole()), whole()) == []
    assert {change.action for change in plan(after(whole()), whole())} == {"unchanged"}


def test_an_update_names_the_fields_that_differ_and_stores_the_full_new_state() -> None:
    changed = whole(workflows=[workflow(branches=["main"], mode="events+messages")])
    (update,) = [change for change in plan(after(whole()), changed) if change.action == "update"]
    assert update.fields == ["branches", "mode"]
    assert update.events == [WorkflowDefined(workflow=workflow(branches=["main"], mode="events+messages"))]


def test_what_the_command_leaves_out_stays_unless_pruned() -> None:
    only_account = Define(account_id=ACME, account=account())
    assert decide(after(whole()), only_account) == []
    pruned = decide(after(whole()), Define(account_id=ACME, account=account(), prune=True))
    assert [type(event) for event in pruned] == [
        SubscriptionRemoved,
        ServiceRemoved,
        WorkflowRemoved,
        RepositoryRemoved,
    ]
    assert evolve_all(after(whole()), pruned) == Catalog(account=account())


def test_removing_a_service_that_has_subscriptions_is_refused() -> None:
    left = whole(services=[], prune=True)
    assert refusals(after(whole()), left) == [("subscription", "service_unknown")]


def test_a_role_without_the_persona_is_refused() -> None:
    assert refusals(Catalog(), whole(account=account(persona="consumer"))) == [("repository", "persona_missing")]


@pytest.mark.parametrize(("sku", "limit"), [("free", 2), ("standard", 50)])
def test_enabled_repositories_beyond_the_sku_are_refused(sku: Sku, limit: int) -> None:
    repositories = [repository(11 + n, name=f"acme/r{n}") for n in range(limit)]
    full = Define(account_id=ACME, account=account(sku=sku), repositories=repositories)
    one_more = Define(account_id=ACME, repositories=[repository(999, name="acme/more")])
    assert refusals(after(full), one_more) == [("account", "sku_limit_exceeded")]
    not_enabled = Define(account_id=ACME, repositories=[repository(999, name="acme/more", enabled=False)])
    assert len(decide(after(full), not_enabled)) == 1


def test_an_enterprise_account_has_no_limit() -> None:
    repositories = [repository(11 + n, name=f"acme/r{n}") for n in range(60)]
    assert len(decide(Catalog(), Define(account_id=ACME, account=account(sku="enterprise"), repositories=repositories)))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"workflows": [workflow(repository_id=99)], "services": [], "subscriptions": []}, "repository_unknown"),
        ({"workflows": [workflow(branches=["[ab]"])]}, "branch_pattern_invalid"),
        ({"workflows": [workflow(correlation_window_s=301)]}, "window_invalid"),
        ({"services": [service(repository_id=99)]}, "repository_unknown"),
        ({"services": [service(workflow_path="other.yml")]}, "workflow_unknown"),
        ({"services": [service(schema={"type": 7})]}, "schema_invalid"),
        ({"services": [service(schema={"$ref": "https://example.com/s.json"})]}, "schema_invalid"),
        ({"services": [service(schema={"$schema": "http://json-schema.org/draft-07/schema#"})]}, "schema_invalid"),
        ({"services": [service(event_types=[""])]}, "event_type_invalid"),
        ({"services": [service(slug="-x")], "subscriptions": []}, "slug_invalid"),
        ({"subscriptions": [subscription(service_slug="nothing")]}, "service_unknown"),
        ({"subscriptions": [subscription(event_types=["x" * 101])]}, "event_type_invalid"),
    ],
)
def test_a_broken_rule_is_refused_by_its_code(changed: dict[str, Any], problem: str) -> None:
    assert problem in [code for _, code in refusals(Catalog(), whole(**changed))]


def test_every_problem_is_reported_at_once() -> None:
    command = whole(
        workflows=[workflow(branches=["?"], correlation_window_s=-1)], services=[service(schema={"type": 7})]
    )
    assert len(refusals(Catalog(), command)) == 3


def test_a_service_that_moves_is_removed_from_its_old_repository_and_takes_its_subscriptions_along() -> None:
    elsewhere = repository(12, name="acme/other")
    move = Define(
        account_id=ACME,
        repositories=[elsewhere],
        workflows=[workflow(repository_id=12)],
        services=[service(repository_id=12)],
    )
    events = decide(after(whole()), move)
    assert [type(event) for event in events[2:]] == [
        ServiceRemoved,
        ServiceDefined,
        SubscriptionRemoved,
        SubscriptionDefined,
    ]
    moved = evolve_all(after(whole()), events)
    assert [s.repository_id for s in moved.subscriptions.values()] == [12]


def test_deciding_changes_no_catalog() -> None:
    catalog = after(whole())
    decide(catalog, whole(prune=True, subscriptions=[]))
    assert catalog == after(whole())


@pytest.mark.parametrize(
    ("pattern", "branch", "matches"),
    [
        ("main", "main", True),
        ("main", "maine", False),
        ("release/*", "release/1.0", True),
        ("release/*", "release/1/2", False),
        ("release/**", "release/1/2", True),
        ("**", "any/thing", True),
        ("*", "", True),
        ("*-x", "a-x", True),
        ("*-x", "a/b-x", False),
        ("a.b", "axb", False),
        ("*" * 200 + "b", "a" * 244, False),
    ],
)
def test_branch_patterns_match_as_githubs_do(pattern: str, branch: str, *, matches: bool) -> None:
    assert any_matches([pattern], branch) is matches


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_command_applied_twice_changes_nothing_the_second_time(data: st.DataObject) -> None:
    ids = st.sampled_from([11, 12])
    services = st.builds(service, repository_id=ids, slug=st.sampled_from(["aa", "bb"]), workflow_path=st.none())
    command = st.builds(
        whole,
        repositories=st.just([repository(11), repository(12, name="acme/other")]),
        services=st.lists(services, max_size=2, unique_by=lambda one: one.slug),
        subscriptions=st.just([]),
        prune=st.booleans(),
    )
    first, second = data.draw(command), data.draw(command)
    catalog = after(first, second)
    assert decide(catalog, second) == []
    assert all(change.action == "unchanged" for change in plan(catalog, second))
