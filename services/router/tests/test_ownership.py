"""What a person may apply where GitHub tells more than one owner below one login."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.authorisation import Caller
from zekt_common.kit.projector import Projector
from zekt_router.allowance import Allowance
from zekt_router.apply import Applier
from zekt_router.catalog_document import InvalidDocument, parse_document
from zekt_router.catalogs import Catalogs
from zekt_router.directory import FoundRepository, KnownNames
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.ownership import Ownership
from zekt_router.projections import project
from zekt_router.resolve import Resolver

ACME, BETA = 1, 2


class RedirectingGitHub:
    """A GitHub where acme has handed a repository on to beta: its former name still leads there."""

    async def repository(self, full_name: str, /) -> FoundRepository:
        if full_name == "acme/handed-on":
            return FoundRepository(repository_id=22, installation_id=6, account_id=BETA)
        return FoundRepository(repository_id=11, installation_id=5, account_id=ACME)

    async def account_id(self, _login: str, /, *, through: str | None = None) -> int:  # noqa: ARG002 - as the port has it
        return ACME


@pytest.mark.parametrize("names", [("acme/own", "acme/handed-on"), ("acme/handed-on", "acme/own")])
async def test_a_repository_that_was_handed_on_is_not_listed_beside_its_former_owners_others(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    entries: list[dict[str, Any]] = [{"repository": name, "enabledAs": ["provider", "consumer"]} for name in names]
    document = parse_document(msgspec.json.encode({"repositories": entries}))
    async with open_backend(tmp_path, "router") as backend:
        catalogs, heard = Catalogs(backend.store), Heard(backend.views)
        known, github = KnownNames(backend.views, catalogs, heard), RedirectingGitHub()
        applier = Applier(
            backend.store,
            catalogs,
            Resolver(known, github, catalogs, heard),
            Projector(backend.store, backend.views, name="router", project=project),
            Heeding(backend.store, backend.views, catalogs, heard),
            ownership=Ownership(known, github, Allowance(catalogs, heard)),
        )
        with pytest.raises(InvalidDocument) as refused:
            async with asyncio.timeout(10):  # nothing projects here, so what is stored would be waited for
                await applier.apply(document, Caller(actor="1", is_operator=False, account_id=ACME))
        assert (await backend.store.read_feed("all")).events == []
    assert [problem.code for problem in refused.value.problems] == ["repository_elsewhere"]
