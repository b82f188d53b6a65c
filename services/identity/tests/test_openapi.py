"""docs/api/identity.yaml names the routes that people have, and those of operators that are identity's alone."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from zekt_common.kit.operations import Operated, operations_routes
from zekt_common.kit.settings import HostSettings
from zekt_identity.app import build_service
from zekt_identity.settings import IdentitySettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "api" / "identity.yaml"
METHODS = {"get", "put", "post", "delete"}


def unused() -> Operated:
    raise AssertionError("no route is called")


@pytest.fixture
def document() -> Any:
    return YAML(typ="safe").load(DOCUMENT.read_text())


def test_the_document_has_every_route_of_people_and_what_operators_do_for_them(document: Any, tmp_path: Path) -> None:
    settings = IdentitySettings(
        host=HostSettings(data_dir=tmp_path), github_api_url="https://api.github.com", app_id=1, private_key_pem=b""
    )
    everywhere = {route.path.replace("/stage/", "/identity/") for route in operations_routes("stage", unused)}
    served = {
        (route.method.lower(), route.path.replace(r":\d{1,18}", ""))
        for route in build_service(settings).routes
        if not (route.internal or route.path in everywhere)
    }
    documented = {(method, path) for path, item in document["paths"].items() for method in METHODS & item.keys()}
    assert documented == served


def test_every_reference_in_the_document_leads_somewhere(document: Any) -> None:
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
