"""Whose a secret's file may be."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zekt_common.auth.operator import TOKEN_FILE, ensure_operator_token
from zekt_common.auth.secret_file import check_private
from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.errors import StorageUnusable

OUR_GROUP, NOBODYS_GROUP = os.getegid(), 2**31 - 7


def issue(data_dir: Path) -> str:
    return EmbeddedIssuer(data_dir).mint(service="dispatcher", roles=[])


SECRETS: dict[str, Callable[[Path], str]] = {TOKEN_FILE: ensure_operator_token, "service-issuer.key": issue}
EACH = pytest.mark.parametrize("name", SECRETS)


def status(mode: int, group: int) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 1, 1, 1, os.geteuid(), group, 43, 0, 0, 0))


@EACH
@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o644, 0o666])
def test_a_secret_that_is_open_to_others_is_not_used(tmp_path: Path, name: str, mode: int) -> None:
    SECRETS[name](tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(StorageUnusable, match=rf"{name} is open to others \(mode {mode:04o}\): run `chmod 600 "):
        SECRETS[name](tmp_path)


@EACH
def test_a_secret_on_a_volume_that_was_given_to_our_group_goes_on_being_used(tmp_path: Path, name: str) -> None:
    SECRETS[name](tmp_path)
    (tmp_path / name).chmod(0o660)
    assert SECRETS[name](tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o660])
def test_what_is_open_to_a_group_must_be_our_own_groups(mode: int) -> None:
    check_private(Path("secret"), status(mode, OUR_GROUP))
    with pytest.raises(StorageUnusable, match="is open to others"):
        check_private(Path("secret"), status(mode, NOBODYS_GROUP))


def test_a_group_that_may_read_is_forbidden_only_where_it_is_said_to_be() -> None:
    check_private(Path("secret"), status(0o440, NOBODYS_GROUP), forbidden=0o037)
    for mode in (0o460, 0o444):
        with pytest.raises(StorageUnusable, match="is open to others"):
            check_private(Path("secret"), status(mode, NOBODYS_GROUP), forbidden=0o037)
