import asyncio
from pathlib import Path

import pytest

from zekt_common.adapters.embedded import open_backend


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A suite's directory with three accounts' keys."""
    directory = tmp_path / "data"
    asyncio.run(_made(directory))
    return directory


async def _made(directory: Path) -> None:
    async with open_backend(directory, "identity") as backend:
        for account in (1, 2, 3):
            await backend.keys.data_key(account)
