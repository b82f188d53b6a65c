"""The scan for secrets finds them in every form, wherever they stand, and nothing else."""

import base64
import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.secret_scan import SecretScan

SECRET = hashlib.sha384(b"a secret").digest()
FORMS = {
    "as it is": SECRET,
    "in hex": SECRET.hex().encode(),
    "percent-encoded": quote(SECRET, safe="").encode(),
    "in Base64": base64.b64encode(SECRET),
}


@pytest.fixture
def scan() -> SecretScan:
    return SecretScan({"a secret": SECRET})


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_wherever_it_stands(scan: SecretScan, form: str) -> None:
    for before in range(20):
        leaks = scan.leaks("here", b"-" * before + FORMS[form] + b"-" * 7)
        assert {(leak.secret, leak.form, leak.place) for leak in leaks} == {("a secret", form, "here")}


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_found_inside_of_what_was_encoded_as_a_whole(
    scan: SecretScan, before: int, encode: Callable[[bytes], bytes]
) -> None:
    assert scan.leaks("here", encode(b"?" * before + SECRET + b"and more"))


@pytest.mark.parametrize("cut", [SECRET[:30], SECRET[-30:]], ids=["its end", "its beginning"])
def test_a_secret_that_was_cut_short_is_found(scan: SecretScan, cut: bytes) -> None:
    assert scan.leaks("here", b"it began with " + cut)


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJlIQ",
        "ghs_" + "a" * 36,
        "github_pat_" + "b" * 60,
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_what_has_the_shape_of_a_secret_is_found_though_nobody_knew_it(scan: SecretScan, text: str) -> None:
    assert scan.leaks("here", f"reason: {text}, again".encode())


def test_what_is_no_secret_is_not_found(scan: SecretScan) -> None:
    assert scan.leaks("here", secrets.token_bytes(100_000) + b" ghs_short eyJ.eyJ. BEGIN PUBLIC KEY") == []


def test_a_value_in_pieces_on_a_databases_pages_is_found(tmp_path: Path) -> None:
    long = secrets.token_hex(5_000)
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, body TEXT)")
        database.execute("INSERT INTO things (body) VALUES (?)", (f"{'x' * 3_000}{long}",))
        database.commit()
    places = {leak.place for leak in SecretScan({"long": long.encode()}).leaks_in_file(path)}
    assert "the table things of some.db" in places
