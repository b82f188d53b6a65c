from collections.abc import Iterator

import pytest
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_sandbox.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running
