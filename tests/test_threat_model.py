"""SECURITY.md tells of every edge all six kinds of threat, or says that there is none."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STRIDE = set("STRIDE")
ROW = re.compile(r"^\| (?P<letters>[STRIDE](?:, [STRIDE])*) \| (?P<threat>[^|]+) \| (?P<against>[^|]+) \|$")


def edges() -> dict[str, list[re.Match[str]]]:
    """Return the rows of each edge by its name."""
    text = (ROOT / "SECURITY.md").read_text().partition("## Threats, edge by edge")[2].partition("\n## ")[0]
    named = re.split(r"^\*\*(.+)\*\*$", text, flags=re.MULTILINE)[1:]
    return {name: list(_rows(table)) for name, table in zip(named[::2], named[1::2], strict=True)}


def _rows(table: str) -> Iterator[re.Match[str]]:
    """Yield the table's rows below its head.

    Raises:
        AssertionError: one has another form.
    """
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert lines[1] == "| --- | --- | --- |"
    for line in lines[2:]:
        row = ROW.match(line)
        assert row, line
        yield row


@pytest.mark.parametrize("edge", edges())
def test_an_edge_tells_of_all_six_kinds_of_threat(edge: str) -> None:
    told = [letter for row in edges()[edge] for letter in row["letters"].split(", ")]
    assert set(told) == STRIDE
    for row in edges()[edge]:
        assert row["threat"].strip()
        assert row["against"].strip()


@pytest.mark.parametrize(
    "wanted",
    [
        r"GitHub → ingress",
        r"provider's workflow → ingress",
        r"consumer's workflow → dispatcher",
        r"person → identity",
        r"operator → ",
        r"service → identity",
        r"dispatcher → GitHub",
        r"identity → GitHub",
        r"services → Entra ID, Key Vault, Cosmos DB",
        r"services → collector",
        r"release → the cluster",
        r"service ↔ service",
    ],
)
def test_every_edge_of_the_system_is_there(wanted: str) -> None:
    assert [name for name in edges() if re.search(wanted, name)], wanted
