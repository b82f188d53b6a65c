import json
import os
import re
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli.tests.conftest import Zekt, environment

from zekt_cli.client import HttpClient
from zekt_cli.demo.github import GitHub

PATIENCE_S = 120.0
"""No measure of speed: what never happens is told after it, instead of by the time limit of all tests."""
PORTS = {"ZEKT_PORT": "0", "ZEKT_INTERNAL_PORT": "0", "ZEKT_SANDBOX_PORT": "0"}


@contextmanager
def up(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "zekt_cli", "up", "--sandbox", "--json", *arguments]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, cwd=directory, env=environment(**PORTS), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(_line(process))
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(PATIENCE_S), "it never said that it is ready"
    return process.stdout.readline()


def status(url: str, path: str) -> int:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_ready_suite_says_where_it_is_and_ends_in_order(tmp_path: Path) -> None:
    data = tmp_path / ".zekt"
    with up(tmp_path) as (process, state):
        assert json.loads((data / "suite.json").read_text()) == state
        assert state["pid"] == process.pid
        assert status(state["url"], "/ready") == status(state["internalUrl"], "/ready") == 200
        sandbox = json.loads((data / "sandbox.json").read_text())
        assert set(sandbox) == {"suite", "github", "issuer", "webhookSecret", "appId"}
        assert status(sandbox["github"], "/_sandbox/credentials") == 200
        assert (data / "operator.token").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert not (data / "suite.json").exists()
        with pytest.raises(ConnectionRefusedError):
            status(sandbox["github"], "/_sandbox/credentials")


def test_people_sign_in_beside_the_stand_in_without_a_setting(tmp_path: Path) -> None:
    with up(tmp_path) as (_, state):
        github = json.loads((tmp_path / ".zekt/sandbox.json").read_text())["github"]
        HttpClient(github).call("POST", "/_sandbox/users", body={"login": "octocat", "id": 4_242})
        begun, note = redirected(f"{state['url']}/auth/login")
        assert begun.startswith(f"{github}/login/oauth/authorize?")
        callback, _ = redirected(f"{begun}&login=octocat")
        assert callback.startswith(f"{state['url']}/auth/callback?")
        place, session = redirected(callback, Cookie=note)
        assert (place, session.partition("=")[0]) == ("/", "__Host-zekt_session")


def redirected(url: str, **headers: str) -> tuple[str, str]:
    """Where the answer sends a browser, and the cookie that it is given."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        return answer.headers["Location"], answer.headers.get("Set-Cookie", "").partition(";")[0]
    finally:
        connection.close()


def test_the_stand_in_does_not_outlive_a_suite_that_is_killed(tmp_path: Path) -> None:
    with up(tmp_path) as (process, _):
        github = json.loads((tmp_path / ".zekt/sandbox.json").read_text())["github"]
        process.kill()
        process.wait()
        deadline = time.monotonic() + PATIENCE_S
        while _answers(github):
            assert time.monotonic() < deadline


def _answers(url: str) -> bool:
    try:
        return status(url, "/_sandbox/credentials") == 200
    except OSError:
        return False


def test_a_second_suite_on_the_same_directory_is_refused_in_one_line(tmp_path: Path, zekt: Zekt) -> None:
    with up(tmp_path) as (process, _):
        second = zekt("up", "--sandbox", **PORTS)
        assert second.returncode == 1
        assert second.stderr == (
            f"zekt: a suite runs on .zekt already (process {process.pid}): stop it, or choose another --data-dir\n"
        )


def test_a_busy_port_is_one_line_that_names_the_setting(zekt: Zekt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        ended = zekt("up", "--sandbox", "--port", port, **PORTS)
    assert ended.returncode == 1
    assert re.fullmatch(rf"zekt: cannot listen on 127\.0\.0\.1 port {port}: .*ZEKT_PORT.*\n", ended.stderr)


def test_missing_settings_are_named_all_at_once(zekt: Zekt) -> None:
    ended = zekt("up", ZEKT_PORT="0", ZEKT_INTERNAL_PORT="0")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    for name in ("ZEKT_GITHUB_APP_ID", "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE", "ZEKT_GITHUB_WEBHOOK_SECRETS"):
        assert ended.stderr.count(name) == 1 or f"{name} is not set" in ended.stderr


def test_a_database_of_a_newer_program_is_one_clear_line(tmp_path: Path, zekt: Zekt) -> None:
    (tmp_path / ".zekt").mkdir()
    newer = sqlite3.connect(tmp_path / ".zekt/router.db")
    newer.execute("PRAGMA user_version = 1000")
    newer.close()
    ended = zekt("up", "--sandbox", **PORTS)
    assert ended.returncode == 1
    assert re.search(r"^zekt: .*router\.db.*newer Zekt\n\Z", ended.stderr, re.MULTILINE)


def test_an_unreadable_database_is_one_clear_line(tmp_path: Path, zekt: Zekt) -> None:
    (tmp_path / ".zekt").mkdir()
    (tmp_path / ".zekt/ingress.db").write_bytes(os.urandom(8192))
    ended = zekt("up", "--sandbox", **PORTS)
    assert ended.returncode == 1
    assert re.search(r"^zekt: .*ingress\.db.*not a database\n\Z", ended.stderr, re.MULTILINE)


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    limited = 'ulimit -f 8 && exec "$@"'  # no file may grow beyond a few KB
    command = ["/bin/sh", "-c", limited, "sh", sys.executable, "-m", "zekt_cli", "up", "--sandbox"]
    ended = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, cwd=tmp_path, env=environment(**PORTS), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 1
    assert re.fullmatch(r"zekt: \.zekt/.*\n", ended.stderr)


def test_following_shows_what_happens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    with up(tmp_path):
        command = [sys.executable, "-m", "zekt_cli", "events", "--follow", "--json"]
        follower = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            github = GitHub(HttpClient(json.loads((tmp_path / ".zekt/sandbox.json").read_text())["github"]))
            github.onboard("acme/provider", {".github/workflows/ci.yml": "CI"})
            run = github.start_run("acme/provider", ".github/workflows/ci.yml")
            github.complete(run)
            assert follower.stdout is not None
            events = [json.loads(follower.stdout.readline())]
            while events[-1]["type"] != "dev.zekt.run.blocked":
                events.append(json.loads(follower.stdout.readline()))
            follower.send_signal(signal.SIGINT)
            assert follower.wait(PATIENCE_S) == 0
        finally:
            follower.kill()
            follower.communicate()
    assert {event["stream"].partition("/")[0] for event in events} == {"webhook", "run"}
