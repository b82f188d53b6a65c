from pathlib import Path

import pytest

from tests.deploy.azure_templates import MAIN, Template, templates


@pytest.fixture(scope="session")
def parsed() -> dict[Path, Template]:
    """Azure's templates, by where they lie."""
    return templates()


@pytest.fixture
def main(parsed: dict[Path, Template]) -> Template:
    """The template that uses all others."""
    return parsed[MAIN]
