"""The code to come from, for tests of upgrades."""

from pathlib import Path

import pytest

from tests.upgrade.previous import wanted_sources


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The root of the earlier commit's sources."""
    return wanted_sources(tmp_path)
