"""What tests in containers share: the images of this commit, built once."""

import pytest

from tests.containers.images import build


@pytest.fixture(scope="session")
def images() -> None:
    """The images of this commit."""
    build()
