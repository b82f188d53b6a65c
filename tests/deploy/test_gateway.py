"""The gateway passes on what is public, to the service that serves it; operators' and internal routes stay inside."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.deploy.composition import FILES, SERVICES, environment
from tests.deploy.gateway import is_plain, sections, servers, upstreams
from zekt_common.auth.requirements import Operator, OperatorOrOwner
from zekt_common.kit.service import Route
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_dispatcher.app import build_service as build_dispatcher
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.app import build_service as build_identity
from zekt_identity.settings import IdentitySettings
from zekt_ingress.app import build_service as build_ingress
from zekt_ingress.settings import IngressSettings
from zekt_router.app import build_service as build_router
from zekt_router.settings import RouterSettings

PUBLIC, OPERATORS = servers()
GITHUB_WAITS_S = 10


@pytest.fixture
def routes(tmp_path: Path) -> Sequence[tuple[str, Route]]:
    """Every route of every service, with the service's name."""
    host, api = HostSettings(data_dir=tmp_path), "https://api.github.com"
    built = (
        build_ingress(
            IngressSettings(
                host=host, webhook_secrets=("s",), webhook_master_keys=(), app_id=1, oidc_issuer=api, oidc_audience="a"
            )
        ),
        build_identity(IdentitySettings(host=host, github_api_url=api, app_id=1, private_key_pem=b"")),
        build_router(RouterSettings(host=host, identity_url="http://127.0.0.1:8112", github_api_url=api)),
        build_dispatcher(DispatcherSettings(host=host)),
    )
    return [(service.name, route) for service in built for route in service.routes]


def test_a_public_route_is_passed_to_its_service(routes: Sequence[tuple[str, Route]]) -> None:
    public = {(name, route.path) for name, route in routes if _is_public(route)}
    assert {name for name, _ in public} == {"ingress", "identity", "router", "dispatcher"}
    assert {(PUBLIC.upstream_of(path), path) for _, path in public} == public


def test_no_other_route_is_passed_on_from_outside(routes: Sequence[tuple[str, Route]]) -> None:
    inside = {route.path for _, route in routes if not _is_public(route)} | {"/ready", "/", "/internal/anything"}
    assert {path: PUBLIC.upstream_of(path) for path in inside} == dict.fromkeys(inside)


def test_operators_reach_their_routes_and_no_internal_one(routes: Sequence[tuple[str, Route]]) -> None:
    for name, route in routes:
        reached = OPERATORS.upstream_of(route.path)
        is_theirs = isinstance(route.requires, Operator | OperatorOrOwner)
        assert reached == (name if is_theirs else None), route.path


def test_every_public_route_can_be_written_plainly(routes: Sequence[tuple[str, Route]]) -> None:
    for _, route in routes:
        if _is_public(route):
            written = re.sub(r"\{[^{}]*(\{[^{}]*\})?[^{}]*\}", "0123456789abcdef", route.path)
            assert is_plain(written), written
            assert is_plain(f"{written}?return_to=%2Fhome%2F..//x"), "a query may say anything"


@pytest.mark.parametrize(
    "path",
    [
        "/api/deliveries/..%2fpayloads%2fx",
        "/api/operations/identity/status/..%2F..%2F..%2F..%2Fauth%2Fx",
        "/auth/../internal/keys",
        "/auth/%2e%2e/internal/keys",
        "/auth/.%2e/api/payloads/x",
        "//auth/login",
        "/auth//login",
        "/auth/lo%67in",
        "/auth/login;x=1",
        "/auth/login#x",
        "/api\\account",
    ],
)
def test_a_path_that_the_gateway_and_a_service_could_read_differently_goes_nowhere(path: str) -> None:
    assert not is_plain(path)
    assert "http-request deny deny_status 404 unless plain" in PUBLIC.text


def test_operators_routes_are_on_loopback_alone() -> None:
    assert OPERATORS.listen.startswith("127.0.0.1:")


def test_what_comes_from_outside_is_marked_so_that_operators_routes_refuse_it() -> None:
    assert "http-request add-header X-Forwarded-For %[src]" in PUBLIC.text
    assert "X-Forwarded-For" not in OPERATORS.text, "what somebody else has marked stays marked"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_believes_the_gateway_where_a_call_comes_from_and_nobody_else(name: str, service: str) -> None:
    env = environment(name, service)
    (gateway,) = HostSettings.read(EnvironmentReader(env)).trusted_proxies
    address, _, _ = upstreams()[service].partition(":")
    assert str(gateway) == f"{address}/32"


@pytest.mark.parametrize("name", FILES)
def test_the_gateway_knows_the_public_port_of_every_service_and_no_internal_one(name: str) -> None:
    ports = {service: f"127.0.0.1:{environment(name, service)['ZEKT_PORT']}" for service in SERVICES}
    assert upstreams() == ports


@pytest.mark.parametrize("name", FILES)
def test_the_command_line_in_a_container_speaks_to_the_operators_port(name: str) -> None:
    assert environment(name, "zekt")["ZEKT_URL"] == f"http://{OPERATORS.listen}"


def test_what_a_restarting_service_refuses_waits_as_long_as_github_does_and_no_longer() -> None:
    (defaults,) = sections("defaults").values()
    (pause_ms,) = re.findall(r"timeout connect (\d+)ms", defaults)
    (tries,) = re.findall(r"retries (\d+)", defaults)
    assert GITHUB_WAITS_S / 2 < int(pause_ms) * int(tries) / 1000 < GITHUB_WAITS_S


def test_only_what_is_known_again_by_its_id_is_sent_again_after_it_may_have_been_heard() -> None:
    again = {name: text for name, text in sections("backend").items() if "retry-on" in text}
    assert list(again) == ["ingress"]
    assert (
        "http-request disable-l7-retry unless { path /webhooks/github } || { path /api/events/receive }"
        in again["ingress"]
    )


def _is_public(route: Route) -> bool:
    return not route.internal and not isinstance(route.requires, Operator)
