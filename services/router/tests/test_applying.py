"""Applying documents without a host: what is refused, at which path, and with which code."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.authorisation import LOCAL_OPERATOR
from zekt_common.kit.projector import Projector
from zekt_router.allowance import Allowance
from zekt_router.apply import Applier
from zekt_router.catalog_document import DocumentProblem, InvalidDocument, parse_document
from zekt_router.catalogs import Catalogs
from zekt_router.directory import FoundRepository, KnownNames, NameUnknown
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.ownership import Ownership
from zekt_router.projections import project
from zekt_router.resolve import Resolver

CI = ".github/workflows/ci.yml"
CATALOG: dict[str, Any] = {
    "accounts": [{"login": "acme", "accountId": 1}, {"login": "beta", "accountId": 2}],
    "repositories": [
        {"repository": "acme/provider", "enabledAs": ["provider"], "repositoryId": 11, "installationId": 5},
        {"repository": "beta/consumer", "enabledAs": ["consumer"], "repositoryId": 22, "installationId": 6},
    ],
    "workflows": [{"repository": "acme/provider", "path": CI}],
    "services": [{"owner": "acme", "slug": "ci-finished", "repository": "acme/provider", "workflow": CI}],
    "subscriptions": [{"service": "acme/ci-finished", "target": "beta/consumer", "status": "approved"}],
}


class KnowsNobody:
    """A GitHub without accounts and repositories."""

    async def repository(self, full_name: str, /) -> FoundRepository:
        raise NameUnknown(f"{full_name} is not there.")

    async def account_id(self, login: str, /, *, through: str | None = None) -> int:  # noqa: ARG002 - as the port has it
        raise NameUnknown(f"{login} is not there.")


async def problems(data_dir: Path, document: dict[str, Any]) -> list[DocumentProblem]:
    """Return what is wrong with the document; fails unless something is, and unless nothing was stored."""
    async with open_backend(data_dir, "router") as backend:
        catalogs, heard = Catalogs(backend.store), Heard(backend.views)
        heeding = Heeding(backend.store, backend.views, catalogs, heard)
        known, nobody = KnownNames(backend.views, catalogs, heard), KnowsNobody()
        resolver = Resolver(known, nobody, catalogs, heard)
        projector = Projector(backend.store, backend.views, name="router", project=project)
        ownership = Ownership(known, nobody, Allowance(catalogs, heard))
        applier = Applier(backend.store, catalogs, resolver, projector, heeding, ownership=ownership)
        with pytest.raises(InvalidDocument) as refused:
            await applier.apply(parse_document(msgspec.json.encode(document)), LOCAL_OPERATOR)
        assert (await backend.store.read_feed("all")).events == []
    return refused.value.problems


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"workflow": []}, "workflow", "invalid"),
        ({"apiVersion": "v2"}, "apiVersion", "invalid"),
        ({"accounts": {}}, "accounts", "invalid"),
        ({"dryRun": "yes"}, "dryRun", "invalid"),
        ({"accounts": [{"login": "acme", "personna": "both"}]}, "accounts[0].personna", "invalid"),
        ({"accounts": [{"login": "acme", "persona": "nobody"}]}, "accounts[0].persona", "invalid"),
        ({"accounts": [{}]}, "accounts[0]", "invalid"),
        (
            {"accounts": [{"login": "acme", "accountId": 1}, {"login": "ACME", "accountId": 1}]},
            "accounts[1]",
            "repeated",
        ),
        ({"repositories": []}, "workflows[0].repository", "repository_unknown"),
        ({"workflows": []}, "services[0].workflow", "workflow_unknown"),
        ({"services": []}, "subscriptions[0].service", "service_unknown"),
        ({"services": [7]}, "services[0]", "invalid"),
        ({"accounts": [{"login": "nobody"}]}, "accounts[0].login", "account_unknown"),
        (
            {"repositories": [{"repository": "acme/provider", "enabledAs": []}]},
            "repositories[0].repository",
            "repository_unknown",
        ),
        (
            {"services": [{**CATALOG["services"][0], "schema": {"type": 7}}]},
            "services[0].schema",
            "schema_invalid",
        ),
        (
            {"services": [{**CATALOG["services"][0], "owner": "beta"}]},
            "services[0].repository",
            "repository_unknown",
        ),
        (
            {"accounts": [{"login": "acme", "accountId": 1, "persona": "consumer"}, {"login": "beta", "accountId": 2}]},
            "repositories[0].enabledAs",
            "persona_missing",
        ),
    ],
)
async def test_a_problem_is_reported_at_its_path_and_nothing_changes(
    tmp_path: Path, changes: dict[str, Any], path: str, code: str
) -> None:
    found = await problems(tmp_path, CATALOG | changes)
    assert (path, code) in [(problem.path, problem.code) for problem in found]


async def test_every_problem_of_shape_is_reported_at_once(tmp_path: Path) -> None:
    wrong = {"accounts": [{"login": "-", "sku": 7}, {}], "services": {}, "more": 1}
    found = await problems(tmp_path, wrong)
    assert sorted(problem.path for problem in found) == [
        "accounts[0].login",
        "accounts[0].sku",
        "accounts[1]",
        "more",
        "services",
    ]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("accounts", {"login": "acme\n"}),
        ("repositories", {"repository": "acme/provider\n", "enabledAs": ["provider"]}),
        ("workflows", {"repository": "acme/provider", "path": ".github/workflows/ci.yml\n"}),
        ("subscriptions", {"service": "acme/ci-finished\n", "target": "beta/consumer"}),
    ],
)
def test_a_name_that_ends_in_a_newline_is_another_than_the_one_that_it_looks_like(
    name: str, entry: dict[str, Any]
) -> None:
    with pytest.raises(InvalidDocument) as invalid:
        parse_document(msgspec.json.encode({name: [entry]}))
    assert [problem.path.partition(".")[0] for problem in invalid.value.problems] == [f"{name}[0]"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"\xff": 1}', b'{"x": ' + b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidDocument):
        parse_document(body)
