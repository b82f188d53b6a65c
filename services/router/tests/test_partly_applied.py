"""Applying that fails at a later account: what was applied is told, and applying again does the rest."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.router.tests.conftest import CATALOG
from zekt_common.adapters.embedded import Backend
from zekt_common.auth.authorisation import LOCAL_OPERATOR
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.kit.projector import Projector
from zekt_router.allowance import Allowance
from zekt_router.apply import Applier, PartlyApplied
from zekt_router.catalog_document import parse_document
from zekt_router.catalogs import Catalogs
from zekt_router.directory import KnownNames
from zekt_router.heard import Heard
from zekt_router.heeding import Heeding
from zekt_router.ownership import Ownership
from zekt_router.projections import project
from zekt_router.resolve import Resolver

REFUSE = """
    CREATE TRIGGER refused BEFORE INSERT ON events WHEN NEW.stream = 'catalog/2'
    BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END
"""


class ContestedStore:
    """A store in which somebody else always wins the race for one stream."""

    def __init__(self, backend: Backend, contested: str) -> None:
        self._store = backend.store
        self._contested = contested

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if stream == self._contested:
            raise StreamConflict(stream, expected=expected_version, actual=expected_version + 1)
        return await self._store.append(stream, events, expected_version=expected_version)


def execute(data_dir: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(data_dir / "router.db", isolation_level=None)) as connection:
        connection.execute(statement)


def applier(backend: Backend, store: Any, projector: Projector | None = None) -> Applier:
    catalogs, heard = Catalogs(store), Heard(backend.views)
    nobody: Any = None  # every id is given, so GitHub is not asked
    known = KnownNames(backend.views, catalogs, heard)
    resolver = Resolver(known, nobody, catalogs, heard)
    projector = projector or Projector(store, backend.views, name="router", project=project)
    heeding = Heeding(store, backend.views, catalogs, heard)
    return Applier(
        store, catalogs, resolver, projector, heeding, ownership=Ownership(known, nobody, Allowance(catalogs, heard))
    )


async def test_accounts_applied_before_the_storage_failed_are_told_and_applying_again_does_the_rest(
    router: Any, tmp_path: Path
) -> None:
    execute(tmp_path, REFUSE)
    status, told = await router.apply()
    assert (status, told["error"]) == (503, "catalog_partly_applied")
    assert told["detail"].startswith("Applied: acme. Not applied: beta. Apply again")
    assert told["positions"] == [f"catalog/1@{n}" for n in range(1, 6)]
    assert {change["action"] for change in told["changes"]} == {"create"}
    execute(tmp_path, "DROP TRIGGER refused")
    status, applied = await router.apply()
    assert (status, applied["positions"]) == (200, ["catalog/2@1", "catalog/2@2"])


async def test_an_error_at_the_first_account_says_that_nothing_was_stored(router: Any, tmp_path: Path) -> None:
    execute(tmp_path, REFUSE.replace("catalog/2", "catalog/1"))
    status, told = await router.apply()
    assert (status, told["error"]) == (503, "storage_unusable")
    assert await router.backend.store.read("catalog/2") == []


async def test_a_race_that_is_lost_at_a_later_account_tells_what_was_applied(backend: Backend) -> None:
    document = parse_document(msgspec.json.encode(CATALOG))
    with pytest.raises(PartlyApplied) as partly:
        await applier(backend, ContestedStore(backend, "catalog/2")).apply(document, LOCAL_OPERATOR)
    assert isinstance(partly.value.__cause__, StreamConflict)
    assert partly.value.applied.positions == [f"catalog/1@{n}" for n in range(1, 6)]
