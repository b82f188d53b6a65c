import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

import zekt_identity.app
from zekt_common.contracts.router import DeliveryRequested
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.settings import HostSettings
from zekt_identity.settings import IdentitySettings
from zekt_sandbox import GitHubSandbox

CATALOG_SUBSCRIPTIONS = [{"service": "acme/ci-finished", "target": "beta/consumer", "status": "approved"}]
APPLY = "/api/catalog/apply"


@asynccontextmanager
async def identity_at(sandbox: GitHubSandbox, data_dir: Path) -> AsyncIterator[Hosted]:
    host = HostSettings(port=0, internal_port=0, data_dir=data_dir)
    settings = IdentitySettings(
        host=host,
        github_api_url=sandbox.url,
        app_id=sandbox.app_id,
        private_key_pem=sandbox.private_key_pem.encode(),
    )
    async with serving([zekt_identity.app.build_service(settings)], host) as hosted:
        yield hosted


def deliveries(body: Any) -> bool:
    return len(body["deliveries"]) > 0


async def test_applying_a_catalog_with_all_ids_asks_nobody_and_shows_its_diff(router: Any) -> None:
    status, applied = await router.apply()
    assert status == 200
    assert [(change["kind"], change["name"], change["action"]) for change in applied["changes"]] == [
        ("account", "acme", "create"),
        ("repository", "acme/provider", "create"),
        ("workflow", "acme/provider/.github/workflows/ci.yml", "create"),
        ("service", "acme/ci-finished", "create"),
        ("subscription", "acme/ci-finished -> beta/consumer", "create"),
        ("account", "beta", "create"),
        ("repository", "beta/consumer", "create"),
    ]
    assert applied["positions"] == [*(f"catalog/1@{n}" for n in range(1, 6)), "catalog/2@1", "catalog/2@2"]


async def test_applying_again_changes_nothing(router: Any) -> None:
    await router.apply()
    status, applied = await router.apply()
    assert status == 200
    assert {change["action"] for change in applied["changes"]} == {"unchanged"}
    assert applied["positions"] == []
    assert len(await router.backend.store.read("catalog/1")) == 5


async def test_a_dry_run_shows_the_diff_and_stores_nothing(router: Any) -> None:
    status, applied = await router.apply(dryRun=True)
    assert status == 200
    assert {change["action"] for change in applied["changes"]} == {"create"}
    assert await router.backend.store.read("catalog/1") == []


async def test_prune_removes_what_the_document_leaves_out_of_the_accounts_it_names(router: Any) -> None:
    await router.apply()
    only_acme = {"accounts": [{"login": "acme", "accountId": 1}], "prune": True}
    _, applied = await router.post(APPLY, only_acme)
    removed = [change["kind"] for change in applied["changes"] if change["action"] == "remove"]
    assert removed == ["subscription", "service", "workflow", "repository"]
    _, catalog = await router.get("/api/catalog")
    assert [len(account["repositories"]) for account in catalog["accounts"]] == [0, 1]


async def test_prune_leaves_an_account_alone_that_is_only_subscribed_to(router: Any) -> None:
    await router.apply()
    _, applied = await router.post(APPLY, {"subscriptions": CATALOG_SUBSCRIPTIONS, "prune": True})
    assert [change["action"] for change in applied["changes"]] == ["unchanged"]


async def test_an_update_names_its_fields_as_documents_do(router: Any) -> None:
    await router.apply()
    workflow = {"repository": "acme/provider", "path": ".github/workflows/ci.yml", "correlationWindowSeconds": 7}
    _, applied = await router.apply(workflows=[workflow])
    (update,) = [change for change in applied["changes"] if change["action"] == "update"]
    assert update["fields"] == ["mode", "correlationWindowSeconds"]


async def test_problems_are_reported_with_their_paths_and_nothing_changes(router: Any) -> None:
    status, body = await router.apply(services=[], workflow=[])
    assert (status, body["error"]) == (422, "invalid_catalog")
    assert body["problems"] == [{"path": "workflow", "code": "invalid", "detail": "This key is not known."}]
    assert await router.backend.store.read("catalog/1") == []


async def test_a_body_that_is_no_json_is_refused(router: Any) -> None:
    status, body = await router.post(APPLY, b"{")
    assert (status, body["error"]) == (422, "invalid_catalog")


async def test_names_without_ids_wait_for_identity_and_change_nothing(router: Any) -> None:
    repositories = [{"repository": "acme/provider", "enabledAs": ["provider"]}]
    status, body = await router.post(APPLY, {"repositories": repositories})
    assert (status, body["error"]) == (503, "identity_unavailable")


async def test_the_catalog_is_for_operators_only(router: Any) -> None:
    async with router.http.get(f"{router.hosted.url}/api/catalog") as response:
        assert response.status == 401


async def test_ingress_hears_of_every_catalog_event_at_its_position(router: Any) -> None:
    _, applied = await router.apply()
    heard = await router.hear("ingress", 7)
    assert sorted(envelope.id for envelope in heard) == sorted(applied["positions"])
    assert {envelope.type.rpartition(".")[2] for envelope in heard} == {
        "catalog-advanced",
        "repository-changed",
        "service-changed",
        "subscription-changed",
    }


async def test_a_run_and_its_message_become_one_delivery_request_with_the_payload(router: Any) -> None:
    await router.apply()
    await router.complete(0)
    await router.send(1)
    (envelope,) = await router.hear("dispatcher", 1)
    request = msgspec.json.decode(envelope.data, type=DeliveryRequested)
    assert (request.event_type, request.target_repository, request.installation_id) == (
        "deployment",
        "beta/consumer",
        6,
    )
    assert request.origin.repository == "Acme CI"
    assert bytes(request.payload or b"") == b'{"a": 1}'
    assert (envelope.subject, envelope.correlationid, envelope.accountid) == ("11/7", "11/7", "1")


async def test_a_window_closes_only_behind_the_watermark(router: Any) -> None:
    await router.apply()
    await router.complete(0)
    await router.watermark(1.9)
    story = await router.settled(lambda body: body["attempts"])
    assert story["deliveries"] == []
    await router.watermark(2)
    story = await router.settled(deliveries)
    assert [delivery["eventType"] for delivery in story["deliveries"]] == ["zekt-workflow-completed"]


async def test_an_unknown_run_is_not_found(router: Any) -> None:
    status, body = await router.get("/api/runs/1/2")
    assert (status, body["error"]) == (404, "run_not_found")


async def test_a_blocked_run_is_shown_with_its_reason(router: Any) -> None:
    await router.complete(0)
    story = await router.settled(lambda body: body["attempts"])
    assert (story["attempts"][0]["status"], story["attempts"][0]["reason"]) == ("blocked", "repository_not_enabled")


async def test_a_refused_subscription_is_shown_with_its_reason(router: Any) -> None:
    paused = {"service": "acme/ci-finished", "target": "beta/consumer", "status": "paused"}
    await router.apply(subscriptions=[paused])
    await router.send(0)
    await router.complete(1)
    story = await router.settled(lambda body: body["refused"])
    assert [refused["reason"] for refused in story["refused"]] == ["subscription_not_approved"]
    assert story["messages"][0]["status"] == "joined"
    assert story["messages"][0]["payload"] is None


async def test_what_was_stored_before_a_restart_is_routed_after_it(hosting: Any) -> None:
    async with hosting() as router:
        await router.apply()
        await router.complete(0)
        await router.settled(lambda body: body["attempts"])
    async with hosting() as router:
        await router.watermark(2)
        await router.settled(deliveries)
        assert len(await router.hear("dispatcher", 1)) == 1


async def test_names_are_resolved_through_identity_and_github(hosting: Any, tmp_path: Path) -> None:
    async with GitHubSandbox.start() as sandbox:
        sandbox.create_repository("acme/provider")
        sandbox.create_repository("beta/consumer")
        sandbox.create_repository("gamma/unreachable")
        sandbox.create_installation("acme")
        sandbox.create_installation("beta")
        async with identity_at(sandbox, tmp_path) as identity, hosting(identity.internal_url, sandbox.url) as router:
            named = {
                "accounts": [{"login": "gamma"}],
                "repositories": [
                    {"repository": "acme/provider", "enabledAs": ["provider"]},
                    {"repository": "beta/consumer", "enabledAs": ["consumer"]},
                ],
            }
            status, applied = await router.apply(**named)
            assert (status, len(applied["changes"])) == (200, 8)
            assert (await router.apply(**named))[1]["positions"] == []
            status, body = await router.apply(
                accounts=[{"login": "nobody-at-all"}],
                repositories=[{"repository": "gamma/unreachable", "enabledAs": ["consumer"]}],
            )
            found = {(problem["path"], problem["code"]) for problem in body["problems"]}
            assert status == 422
            assert ("accounts[0].login", "account_unknown") in found
            assert ("repositories[0].repository", "repository_unknown") in found


async def test_what_identity_learns_at_github_is_in_the_catalog_by_itself(hosting: Any, tmp_path: Path) -> None:
    async with GitHubSandbox.start() as sandbox:
        sandbox.create_repository("acme/provider")
        sandbox.create_repository("beta/consumer")
        sandbox.create_installation("acme")
        sandbox.create_installation("beta")
        both = [
            {"repository": "acme/provider", "enabledAs": ["provider"]},
            {"repository": "beta/consumer", "enabledAs": ["consumer"]},
        ]
        async with identity_at(sandbox, tmp_path) as identity, hosting(identity.internal_url, sandbox.url) as router:
            assert (await router.apply(accounts=[], repositories=both))[0] == 200
        await sandbox.rename_repository("beta/consumer", "customer")
        await sandbox.archive_repository("acme/provider")
        async with identity_at(sandbox, tmp_path), hosting() as router:
            await router.catalog(lambda catalogs: shown(catalogs) == {"acme/provider": True, "beta/customer": False})


def shown(catalogs: dict[int, Any]) -> dict[str, bool]:
    """Repositories' names, and whether they are blocked."""
    repositories = [each for catalog in catalogs.values() for each in catalog["repositories"]]
    return {each["repository"]: each["blocked"] is not None for each in repositories}


async def test_the_same_document_applied_twice_at_once_is_stored_once(router: Any) -> None:
    answers = await asyncio.gather(*(router.apply() for _ in range(3)))
    assert [status for status, _ in answers] == [200, 200, 200]
    positions = [position for _, applied in answers for position in applied["positions"]]
    assert len(positions) == len(set(positions)) == 7
