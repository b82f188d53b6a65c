"""Finds secrets in whatever was written: as they are, or in hex, Base64 or percent-encoding, whole or cut short."""

import base64
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

SHORTEST_BYTES: Final = 16
_CUT_BYTES: Final = 24
_PIECE_BYTES: Final = 8
_SHAPES: Final[Mapping[str, re.Pattern[bytes]]] = {
    "a JSON Web Token": re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a token of GitHub's": re.compile(rb"\b(?:gh[pousr]|github_pat)_\w{30,}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
"""What no secret of the run has to be known for: App JWTs, say, which nobody but GitHub sees."""


@dataclass(frozen=True)
class Leak:
    """Which secret was found, in which form and where; the secret itself is not shown."""

    secret: str
    form: str
    place: str


class SecretScan:
    """Looks for secrets, given by what they are called."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        short = [name for name, value in secrets.items() if len(value) < SHORTEST_BYTES]
        assert not short, f"too short to be told from anything else: {short}"
        self.secrets = secrets
        self._forms: dict[bytes, tuple[str, str]] = {}
        self._pieces: dict[bytes, list[bytes]] = {}
        for name, value in secrets.items():
            for form, written in _forms_of(value):
                self._add(written, name, form)

    def leaks(self, place: str, content: bytes) -> list[Leak]:
        """Return what the content holds that it should not."""
        known = [Leak(*self._forms[written], place) for written in self._written_in(content)]
        shaped = [Leak(shape, "by its shape", place) for shape, pattern in _SHAPES.items() if pattern.search(content)]
        return known + shaped

    def leaks_in_file(self, path: Path) -> list[Leak]:
        """Return what a file holds: byte by byte and, where it is a database, value by value too."""
        content = path.read_bytes()
        found = self.leaks(f"the bytes of {path.name}", content)
        if content.startswith(b"SQLite format 3"):
            found += [leak for place, values in _tables(path) for leak in self.leaks(place, values)]
        return found

    def _add(self, written: bytes, name: str, form: str) -> None:
        """Know this form by its pieces: wherever it stands, one of them begins at a multiple of their length."""
        if self._forms.setdefault(written, (name, form)) == (name, form):
            for at in range(_PIECE_BYTES):
                self._pieces.setdefault(written[at : at + _PIECE_BYTES], []).append(written)

    def _written_in(self, content: bytes) -> set[bytes]:
        pieces = {content[at : at + _PIECE_BYTES] for at in range(0, len(content), _PIECE_BYTES)}
        suspected = {written for piece in pieces & self._pieces.keys() for written in self._pieces[piece]}
        return {written for written in suspected if written in content}


def _forms_of(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as it is", value[:_CUT_BYTES]
    yield "as it is", value[-_CUT_BYTES:]
    yield "in hex", value.hex().encode()
    yield "in hex", value.hex().upper().encode()
    encoded = quote(value, safe="").encode()
    if encoded != value:
        yield "percent-encoded", encoded
    for offset in range(3):
        yield "in Base64", _inside(base64.b64encode(bytes(offset) + value), offset)
        yield "in Base64", _inside(base64.urlsafe_b64encode(bytes(offset) + value), offset)


def _inside(encoded: bytes, offset: int) -> bytes:
    """Return the characters that depend on nothing but the value, wherever in longer content it begins."""
    return encoded.rstrip(b"=")[4 if offset else 0 : -2]


def _tables(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every table's values: a long one is in pieces on the pages of the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            rows = database.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 - the file's own tables
            values = (value for row in rows for value in row if isinstance(value, str | bytes))
            text = b"\n".join(value.encode() if isinstance(value, str) else value for value in values)
            yield f"the table {name} of {path.name}", text
