import json
import os
import stat
from pathlib import Path

import pytest

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.hosting.directory import announce, announced, occupied
from zekt_cli.hosting.sandbox import stand_in
from zekt_cli.suite import SUITE_FILE, locate

HOOK = "http://127.0.0.1:1/webhooks/github"


def test_a_directory_holds_one_suite_and_says_whose_process_it_is(tmp_path: Path) -> None:
    with occupied(tmp_path / "data"):
        with pytest.raises(CommandFailed, match=rf"runs on .* already \(process {os.getpid()}\)") as caught:
            occupied(tmp_path / "data").__enter__()
        assert caught.value.exit_code == Exit.CHECK_FAILED
    with occupied(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CommandFailed, match="cannot be used: Not a directory"):
        occupied(tmp_path / "file" / "data").__enter__()


def test_what_an_earlier_process_announced_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / SUITE_FILE
    path.write_text("stale")
    with announced(path):
        assert not path.exists()
        announce(path, {"url": "http://127.0.0.1:1"})
        assert json.loads(path.read_text()) == {"url": "http://127.0.0.1:1"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_suite_is_found_by_url_else_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "operator.token").write_text("secret\n")
    announce(tmp_path / SUITE_FILE, {"url": "http://a:1", "internalUrl": "http://a:2", "pid": 1, "version": "0"})
    assert locate((), tmp_path).url == "http://a:1"
    assert locate(["http://b:1/"], tmp_path).url == "http://b:1"
    assert locate((), tmp_path).token == "secret"


@pytest.mark.parametrize("content", [None, "", "{}", "[]"])
def test_without_a_usable_file_there_is_no_suite(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / SUITE_FILE).write_text(content)
    with pytest.raises(CommandFailed) as caught:
        locate((), tmp_path)
    assert caught.value.exit_code == Exit.UNREACHABLE


def fail_to_start(directory: Path, port: int) -> None:
    with stand_in(directory, port, HOOK, {}) as starting:
        starting.ready()


def test_a_restarted_stand_in_keeps_its_app_and_never_its_run_ids(tmp_path: Path) -> None:
    with stand_in(tmp_path, 0, HOOK, {}) as starting:
        first = starting.ready()
        key = Path(first.private_key_file).read_text()
    with stand_in(tmp_path, 0, HOOK, {}) as starting:
        second = starting.ready()
        assert (second.app_id, second.webhook_secret) == (first.app_id, first.webhook_secret)
        assert Path(second.private_key_file).read_text() == key
        seeds = json.loads((tmp_path / "sandbox-app.json").read_text())
    assert seeds["starts"] == 2
    assert stat.S_IMODE((tmp_path / "sandbox-app.json").stat().st_mode) == 0o600


def test_the_environments_app_wins_in_the_stand_in_too(tmp_path: Path) -> None:
    env = {"ZEKT_GITHUB_WEBHOOK_SECRETS": "new, old", "ZEKT_GITHUB_APP_ID": "42"}
    with stand_in(tmp_path, 0, HOOK, env) as starting:
        found = starting.ready()
        assert (found.webhook_secret, found.app_id) == ("new", 42)


def test_a_stand_in_whose_port_is_taken_says_so_in_one_line(tmp_path: Path) -> None:
    with stand_in(tmp_path, 0, HOOK, {}) as starting:
        first = starting.ready()
        port = int(first.github.rpartition(":")[2])
        (tmp_path / "other").mkdir()
        with pytest.raises(CommandFailed, match=r"did not start: .*in use.*ZEKT_SANDBOX_PORT") as caught:
            fail_to_start(tmp_path / "other", port)
    assert "\n" not in str(caught.value)
