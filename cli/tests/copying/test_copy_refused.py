import asyncio
import fcntl
from datetime import timedelta
from pathlib import Path

import pytest
from cli.tests.conftest import Zekt
from cli.tests.copying.both_sides import (
    copied,
    events,
    noted,
    refusal,
    there,
)

from tests.ports import free_port
from zekt_cli.hosting.directory import occupied
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import utc_now


async def test_events_of_the_future_are_refused(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    async with open_backend(data_dir, "router", clock=lambda: utc_now() + timedelta(hours=1)) as backend:
        await backend.store.append("thing/ahead", [noted(1)], expected_version=0)
    assert "which is yet to come: set the clock" in refusal(zekt, env, 1)


@pytest.mark.usefixtures("data_dir")
async def test_a_target_that_holds_something_else_is_left_alone(zekt: Zekt, env: dict[str, str]) -> None:
    async with there(env) as target:
        await target.store("router").append("thing/1", [noted(99)], expected_version=0)
        said = refusal(zekt, env, 1)
        assert said.startswith("zekt: router's stream thing/1 is not the same in both stores")
        assert await events(target.store("ingress")) == {}


@pytest.mark.usefixtures("data_dir")
async def test_a_suite_that_has_gone_on_over_there_is_left_alone(zekt: Zekt, env: dict[str, str]) -> None:
    copied(zekt, env)
    async with there(env) as target:
        await target.store("router").append("thing/1", [noted(99)], expected_version=2)
    assert "router's stream thing/1 is not the same" in refusal(zekt, env, 1)


async def test_what_was_stored_here_after_a_copy_is_not_mixed_in(
    zekt: Zekt, env: dict[str, str], data_dir: Path
) -> None:
    copied(zekt, env)
    async with open_backend(data_dir, "router") as backend:
        await backend.store.append("thing/late", [noted(1)], expected_version=0)
    assert refusal(zekt, env, 1).startswith("zekt: this was copied before, and has had events since (1)")


def test_a_suite_that_runs_here_is_named(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    with occupied(data_dir):
        assert f"a suite runs on {data_dir} already" in refusal(zekt, env, 1)


def test_a_service_that_runs_here_alone_is_noticed(zekt: Zekt, env: dict[str, str], data_dir: Path) -> None:
    (data_dir / "leases").mkdir(exist_ok=True)
    with (data_dir / "leases" / "relay%2Fingress.lease").open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        assert f"a service runs on {data_dir}" in refusal(zekt, env, 1)


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("service", "lease"),
    [("router", "relay/router"), ("dispatcher", "sweeper/dispatcher"), ("ingress", "retention/ingress")],
)
async def test_a_suite_or_one_of_its_services_that_runs_over_there_is_noticed(
    zekt: Zekt, env: dict[str, str], service: str, lease: str
) -> None:
    async with there(env) as target, CosmosLeases(target.views(service)).hold(lease):
        said = await asyncio.to_thread(refusal, zekt, env, 1)
    assert f"a suite runs where ZEKT_COSMOS_ENDPOINT leads (it holds {lease})" in said


@pytest.mark.usefixtures("data_dir")
def test_another_master_key_is_refused(zekt: Zekt, env: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_bytes(bytes(32))
    said = refusal(zekt, env | {"ZEKT_MASTER_KEY_FILE": str(other)}, 2)
    assert "names another master key than wraps the data keys here" in said


def test_a_directory_without_a_suite_is_refused(zekt: Zekt, env: dict[str, str], tmp_path: Path) -> None:
    assert f"{tmp_path / 'data'} holds no suite's data" in refusal(zekt, env, 2)
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("data_dir")
def test_a_target_that_is_not_provisioned_is_refused(zekt: Zekt, env: dict[str, str]) -> None:
    said = refusal(zekt, env | {"ZEKT_COSMOS_DATABASE": "nowhere"}, 1)
    assert "run `zekt provision` first" in said


@pytest.mark.usefixtures("data_dir")
def test_missing_settings_are_named(zekt: Zekt, tmp_path: Path) -> None:
    said = refusal(zekt, {"ZEKT_DATA_DIR": str(tmp_path / "data")}, 2)
    assert "ZEKT_COSMOS_ENDPOINT is not set" in said


@pytest.mark.usefixtures("data_dir")
def test_an_account_out_of_reach_is_named(zekt: Zekt, env: dict[str, str]) -> None:
    said = refusal(zekt, env | {"ZEKT_COSMOS_ENDPOINT": f"http://127.0.0.1:{free_port()}"}, 3)
    assert said.startswith("zekt: ZEKT_COSMOS_ENDPOINT")
