"""docs/api/identity.yaml names the routes that people have, and no others."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from zekt_common.auth.requirements import AccountOwner, PersonSession, RepositoryAdmin, SigningIn
from zekt_common.kit.settings import HostSettings
from zekt_identity.app import build_service
from zekt_identity.settings import IdentitySettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "api" / "identity.yaml"
METHODS = {"get", "put", "post", "delete"}


@pytest.fixture
def document() -> Any:
    return YAML(typ="safe").load(DOCUMENT.read_text())


def test_the_document_has_every_route_of_people(document: Any, tmp_path: Path) -> None:
    settings = IdentitySettings(
        host=HostSettings(data_dir=tmp_path), github_api_url="https://api.github.com", app_id=1, private_key_pem=b""
    )
    served = {
        (route.method.lower(), route.path.replace(r":\d{1,18}", ""))
        for route in build_service(settings).routes
        if isinstance(route.requires, SigningIn | PersonSession | AccountOwner | RepositoryAdmin)
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
