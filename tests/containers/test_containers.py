"""The images as Docker runs them: doing the main job through the gateway, and losing nothing to kills."""

import http.client
from collections.abc import Iterator, Mapping
from types import MappingProxyType
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


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/live", 200),
        ("/auth/nothing-here?return_to=%2F..//x", 404),
        ("/api/account", 401),
        ("/internal/keys", 404),
        ("/auth/../internal/keys", 404),
        ("/auth/%2e%2e/internal/keys", 404),
        ("//auth/login", 404),
        ("/api/accoun%74", 404),
        ("http://127.0.0.1/api/account", 404),
        ("/ready", 404),
        ("/api/operations/ingress/status", 404),
    ],
)
def test_the_published_port_leads_to_what_is_public_and_plainly_written(
    composed: Composed, path: str, status: int
) -> None:
    del composed
    answered, from_gateway = asked("GET", path)
    assert answered == status
    assert from_gateway == (path == "/live" or (status == 404 and "nothing-here" not in path))


def test_a_body_that_no_service_takes_is_not_passed_on(composed: Composed) -> None:
    del composed
    assert asked("POST", "/webhooks/github", {"Content-Length": str(27 << 20)}) == (413, True)


def asked(method: str, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> tuple[int, bool]:
    """Return how the published port answers, and whether it was the gateway and no service, which answer in JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    try:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, "json" not in answer.getheader("Content-Type", "")
    finally:
        connection.close()


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
    assert asked("GET", "/live") == (200, True)
    assert_nothing_is_lost(composed, load.result())
