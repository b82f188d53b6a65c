"""Every route of every service names what it requires, and the table in docs/permissions.md says the same."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from zekt_cli.addresses import service_of
from zekt_common.auth import requirements
from zekt_common.auth.requirements import Operator, OperatorOrOwner, Public, Requirement, ServiceRole
from zekt_common.kit.service import Route, Service
from zekt_common.kit.settings import HostSettings
from zekt_dispatcher.app import build_service as build_dispatcher
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.app import build_service as build_identity
from zekt_identity.settings import IdentitySettings
from zekt_ingress.app import build_service as build_ingress
from zekt_ingress.settings import IngressSettings
from zekt_router.app import build_service as build_router
from zekt_router.settings import RouterSettings

DOCUMENT = Path(__file__).parents[1] / "docs" / "permissions.md"
ROW = re.compile(r"^\| (\w+) \| `([A-Z]+ /\S+)` \| (.+) \|$", re.MULTILINE)
PATTERN = re.compile(r":\\d\{1,18\}\}")
API = "https://api.github.com"


@pytest.fixture
def services(tmp_path: Path) -> Sequence[Service]:
    host = HostSettings(data_dir=tmp_path)
    ingress = IngressSettings(
        host=host, webhook_secrets=("s",), webhook_master_keys=(), app_id=1, oidc_issuer=API, oidc_audience="a"
    )
    return [
        build_ingress(ingress),
        build_identity(IdentitySettings(host=host, github_api_url=API, app_id=1, private_key_pem=b"")),
        build_router(RouterSettings(host=host, identity_url="http://127.0.0.1:8112", github_api_url=API)),
        build_dispatcher(DispatcherSettings(host=host)),
    ]


def row(service: Service, route: Route) -> tuple[str, str, str]:
    where = " (internal port)" if route.internal else ""
    return service.name, f"{route.method} {PATTERN.sub('}', route.path)}", f"{route.requires}{where}"


def test_the_table_is_what_the_code_requires(services: Sequence[Service]) -> None:
    in_code = [row(service, route) for service in services for route in service.routes]
    documented = ROW.findall(DOCUMENT.read_text())
    assert sorted(documented) == sorted(in_code), "\n" + "\n".join(f"| {s} | `{r}` | {w} |" for s, r, w in in_code)


def test_every_route_names_one_of_the_requirements_there_are(services: Sequence[Service]) -> None:
    known = {one for one in vars(requirements).values() if isinstance(one, type) and issubclass(one, Requirement)}
    for service in services:
        for route in service.routes:
            assert type(route.requires) in known - {Requirement}, route.path


def test_what_requires_nothing_or_a_service_token_is_on_the_internal_port(services: Sequence[Service]) -> None:
    for service in services:
        for route in service.routes:
            assert isinstance(route.requires, Public | ServiceRole) == route.internal, route.path


def test_every_service_notes_what_is_ordered(services: Sequence[Service]) -> None:
    assert all(service.store is not None for service in services)


def test_the_command_line_asks_for_each_route_of_operators_where_it_is_served(services: Sequence[Service]) -> None:
    for service in services:
        for route in service.routes:
            if isinstance(route.requires, Operator | OperatorOrOwner):
                assert service_of(route.path) == service.name, route.path
    assert {service_of("/auth/renew"), service_of("/api/account")} == {"identity"}
    assert service_of("/ready") is None
