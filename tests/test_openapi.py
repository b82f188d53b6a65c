"""docs/api has a document for each service that people call, with every route but those that all services have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.service import Service
from zekt_common.kit.settings import HostSettings
from zekt_identity.app import build_service as build_identity
from zekt_identity.settings import IdentitySettings
from zekt_router.app import build_service as build_router
from zekt_router.settings import RouterSettings

DOCUMENTS: Final = Path(__file__).parents[1] / "docs" / "api"
METHODS: Final = {"get", "put", "post", "delete"}
API: Final = "https://api.github.com"


def unused() -> Operated:
    raise AssertionError("no route is called")


@pytest.fixture
def services(tmp_path: Path) -> Sequence[Service]:
    host = HostSettings(data_dir=tmp_path)
    return [
        build_identity(IdentitySettings(host=host, github_api_url=API, app_id=1, private_key_pem=b"")),
        build_router(RouterSettings(host=host, identity_url="http://127.0.0.1:8112", github_api_url=API)),
    ]


def document_of(name: str) -> Any:
    return YAML(typ="safe").load((DOCUMENTS / f"{name}.yaml").read_text())


def served(service: Service) -> set[tuple[str, str]]:
    everywhere = {route.path for route in operations_routes(service.name, unused)}
    return {
        (route.method.lower(), route.path.replace(r":\d{1,18}", ""))
        for route in service.routes
        if not (route.internal or route.path in everywhere)
    }


def test_a_document_has_every_route_of_its_service_alone(services: Sequence[Service]) -> None:
    for service in services:
        paths = document_of(service.name)["paths"]
        documented = {(method, path) for path, item in paths.items() for method in METHODS & item.keys()}
        assert documented == served(service), service.name


def test_each_document_is_held_to_its_service(services: Sequence[Service]) -> None:
    assert {path.stem for path in DOCUMENTS.glob("*.yaml")} == {service.name for service in services}


@pytest.mark.parametrize("name", ["identity", "router"])
def test_every_reference_in_a_document_leads_somewhere(name: str) -> None:
    document = document_of(name)

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)
