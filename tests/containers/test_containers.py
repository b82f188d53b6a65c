"""The images as Docker runs them: doing the main job through the gateway, and losing nothing to kills."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.containers.commands import WANTED
from tests.containers.composed import Composed, composition
from tests.containers.images import SERVICES

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="containers: `make test-containers` runs them, where a Docker engine is"),
    pytest.mark.timeout(2400),
]
IN_THE_NAMESPACE = (*SERVICES, "gateway")


@pytest.fixture(scope="module")
def composed(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    del images
    with composition(tmp_path_factory.mktemp("composed")) as started:
        yield started


def assert_nothing_is_lost(composed: Composed, found: Mapping[str, Any]) -> None:
    assert found["acknowledged"] > 50
    assert found["missing"] == 0
    assert set(found["repeated"]) <= set(composed.inside("ambiguous"))


def test_the_demo_holds_through_the_gateway(composed: Composed) -> None:
    assert composed.inside("demo")["checks"] >= 10


def test_each_container_struck_in_turn_under_load_is_back_by_itself_and_nothing_is_lost(composed: Composed) -> None:
    with composed.under_load() as load:
        for service in IN_THE_NAMESPACE:
            composed.until_back(service, composed.strike(service))
    assert_nothing_is_lost(composed, load.result())


def test_who_shares_a_network_namespace_that_dies_follows_into_the_new_one(composed: Composed) -> None:
    before = {service: composed.state(service) for service in IN_THE_NAMESPACE}
    with composed.under_load() as load:
        composed.until_back("network", composed.strike("network"))
        for service in IN_THE_NAMESPACE:
            composed.until_back(service, before[service])
    assert_nothing_is_lost(composed, load.result())
