"""The images as Docker runs them: small enough, doing the main job through the gateway, and losing nothing to kills."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.composed import (
    IMAGES,
    NAMES,
    TAG,
    WANTED,
    Composed,
    build_images,
    composition,
    compressed_bytes,
)

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="containers: `make test-containers` runs them, where a Docker engine is"),
    pytest.mark.timeout(2400),
]
MOST_BYTES = 120_000_000
BETWEEN_KILLS_S = 8
KILLED = ("ingress", "identity", "router", "dispatcher", "gateway")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    build_images()
    with composition(tmp_path_factory.mktemp("composed")) as started:
        yield started


def test_the_demo_holds_through_the_gateway(composed: Composed) -> None:
    found = json.loads(composed.drive("demo").splitlines()[-1])
    assert found["checks"] >= 10


def test_each_container_killed_in_turn_under_load_loses_nothing(composed: Composed) -> None:
    seconds = (len(KILLED) + 1) * (BETWEEN_KILLS_S + 4)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(composed.drive, "load", str(seconds), within_s=seconds + 240)
        for service in KILLED:
            time.sleep(BETWEEN_KILLS_S)
            composed.kill(service)
        found = json.loads(loading.result().splitlines()[-1])
    assert found["acknowledged"] > 50
    assert found["missing"] == 0
    assert found["unreported"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_small(composed: Composed, name: str) -> None:
    del composed
    assert compressed_bytes(f"{IMAGES}/{name}:{TAG}") < MOST_BYTES
