"""On which engines and in which topologies a test runs."""

import pytest

in_one_process = pytest.mark.parametrize("topology", ["one process"], indirect=True)
in_four_processes = pytest.mark.parametrize("topology", ["four processes"], indirect=True)
on_azure = pytest.mark.parametrize("engine", ["azure"], indirect=True)
on_both_engines = pytest.mark.parametrize("engine", ["sqlite", "azure"], indirect=True)
everywhere = pytest.mark.parametrize(
    ("topology", "engine"),
    [("one process", "sqlite"), ("four processes", "sqlite"), ("one process", "azure")],
    indirect=True,
)
