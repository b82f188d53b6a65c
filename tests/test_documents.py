"""Links between documents lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)
CODE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SOURCES: Final = ("*.md", "docs/**/*.md", "deploy/**/*.md", "bench/*.md", "cli/*.md", "libs/*/*.md", "services/*/*.md")
DOCUMENTS: Final = sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_what_is_there(document: Path) -> None:
    assert not list(dead_links(document))


def dead_links(document: Path) -> Iterator[str]:
    """Return the links to files and headings that do not exist; other sites are not asked."""
    for link in LINK.findall(CODE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            yield link


def anchors(document: Path) -> set[str]:
    """Return the addresses that GitHub gives the document's headings."""
    headings = HEADING.findall(CODE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
