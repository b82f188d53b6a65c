"""`zekt login` and `zekt logout`, beside the stand-in for GitHub."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli.tests.conftest import Zekt, environment

from zekt_cli.client import HttpClient
from zekt_cli.commands.login import Begun, await_session
from zekt_cli.credentials import session, with_credential
from zekt_cli.demo.suite import DemoSuite, running_suite
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import SuiteAddress

INTERVAL_S = 1


@pytest.fixture(scope="module")
def suite() -> Iterator[DemoSuite]:
    """A suite of these tests' own, beside a GitHub that knows a person and lets devices ask every second."""
    with running_suite() as running:
        running.github.client.call("POST", "/_sandbox/users", body={"login": "octocat", "id": 4_242})
        _ask_every(running, INTERVAL_S)
        yield running


@contextmanager
def logging_in(suite: DemoSuite, directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`zekt login` that waits, and the code that it shows."""
    command = [sys.executable, "-m", "zekt_cli", "login", "--json", "--url", suite.suite.url]
    env = environment(XDG_CONFIG_HOME=str(directory))
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        shown = re.fullmatch(r"Type (\S+) in at (\S+)\n", process.stderr.readline())
        assert shown is not None
        assert shown[2] == f"{suite.github.client.url}/login/device"
        yield process, shown[1]
    finally:
        process.kill()
        process.communicate()


def answer(suite: DemoSuite, code: str, *, authorize: bool = True) -> None:
    """Type the code in at GitHub."""
    body = {"user_code": code, "login": "octocat", "authorize": authorize}
    suite.github.client.call("POST", "/_sandbox/device", body=body)


def account(suite: DemoSuite, token: str) -> int:
    client = HttpClient(suite.suite.url, headers={"Authorization": f"Bearer {token}"})
    return client.request("GET", "/api/account").status


def test_a_person_signs_in_and_out_on_the_command_line(suite: DemoSuite, zekt: Zekt, tmp_path: Path) -> None:
    url, file = suite.suite.url, tmp_path / "zekt" / "sessions.json"
    with logging_in(suite, tmp_path) as (process, code):
        answer(suite, code)
        shown, told = process.communicate(timeout=120)
        assert (process.returncode, json.loads(shown), told) == (0, {"url": url, "accountId": 4_242}, "")
    assert file.stat().st_mode & 0o777 == 0o600
    token = json.loads(file.read_text())[url]
    assert account(suite, token) == 200
    again = zekt("login", "--url", url, XDG_CONFIG_HOME=str(tmp_path))
    assert (again.returncode, again.stdout) == (0, f"Signed in to {url} as GitHub user 4242\n")
    ended = zekt("logout", "--url", url, XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, f"Signed out of {url}\n")
    assert (account(suite, token), json.loads(file.read_text())) == (401, {})


def test_a_sign_in_that_is_declined_is_refused_in_one_line(suite: DemoSuite, tmp_path: Path) -> None:
    with logging_in(suite, tmp_path) as (process, code):
        answer(suite, code, authorize=False)
        _, told = process.communicate(timeout=120)
    assert process.returncode == Exit.REFUSED
    assert told == "zekt: The sign-in was declined at GitHub. Begin again with `zekt login`.\n"
    assert not (tmp_path / "zekt").exists()


def test_who_is_not_signed_in_signs_out_without_a_change(suite: DemoSuite, zekt: Zekt, tmp_path: Path) -> None:
    ended = zekt("logout", "--url", suite.suite.url, XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, f"Not signed in to {suite.suite.url}\n")


def test_a_session_that_cannot_be_ended_is_kept(zekt: Zekt, tmp_path: Path) -> None:
    file = tmp_path / "zekt" / "sessions.json"
    file.parent.mkdir()
    file.write_text('{"http://127.0.0.1:1":"token"}')
    ended = zekt("logout", "--url", "http://127.0.0.1:1", XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.returncode, json.loads(file.read_text())) == (Exit.UNREACHABLE, {"http://127.0.0.1:1": "token"})


def test_no_session_is_asked_for_over_a_network_in_the_clear(zekt: Zekt, tmp_path: Path) -> None:
    ended = zekt("login", "--url", "http://zekt.example", XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr.count("\n")) == (Exit.USAGE, 1)
    assert "use https" in ended.stderr


def test_a_file_of_sessions_that_is_damaged_is_said_in_one_line(zekt: Zekt, tmp_path: Path) -> None:
    file = tmp_path / "zekt" / "sessions.json"
    file.parent.mkdir()
    file.write_text("[")
    ended = zekt("login", "--url", "http://127.0.0.1:1", XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (
        1,
        f"zekt: {file} is damaged: delete it, and sign in again with `zekt login`\n",
    )


def begun(suite: DemoSuite, **changes: Any) -> Begun:
    fields = suite.suite.call("POST", "/auth/device")
    return Begun(
        **{
            "user_code": fields["userCode"],
            "verification_url": fields["verificationUrl"],
            "expires_in_s": fields["expiresInS"],
            "interval_s": fields["intervalS"],
            "note": fields["note"],
            **changes,
        }
    )


@contextmanager
def asked_every(suite: DemoSuite, interval_s: int) -> Iterator[None]:
    """Have GitHub find more frequent asking too much, be the machine as slow as it may."""
    _ask_every(suite, interval_s)
    yield
    _ask_every(suite, INTERVAL_S)


def _ask_every(suite: DemoSuite, interval_s: int) -> None:
    suite.github.client.call("PUT", "/_sandbox/device_flow", body={"interval_s": interval_s})


def test_asking_slows_down_when_told_to_and_ends_in_time(suite: DemoSuite) -> None:
    waits: list[float] = []
    with asked_every(suite, 60), pytest.raises(CommandFailed, match="in time") as caught:
        await_session(suite.suite, begun(suite, expires_in_s=9, interval_s=1), sleep=waits.append)
    assert caught.value.exit_code == Exit.TIMED_OUT
    assert waits == [1, 1, 6, 11]


@contextmanager
def answering(statuses: list[int]) -> Iterator[HttpClient]:
    """Give a client of a suite that answers polls so, and after that with a session."""

    class Polled(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses.pop(0) if statuses else 200
            content = b'{"accountId": 1, "token": "t"}' if status == 200 else b'{"error": "x", "detail": "x"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Polled) as server:
        threading.Thread(target=server.serve_forever).start()
        yield HttpClient(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_who_shares_a_network_with_many_asks_less_often_and_signs_in_all_the_same() -> None:
    waits: list[float] = []
    asked = Begun(user_code="x", verification_url="x", expires_in_s=900, interval_s=5, note="x")
    with answering([429, 503, 429]) as client:
        assert await_session(client, asked, sleep=waits.append).account_id == 1
    assert waits == [5, 10, 10, 15]


def test_the_suites_word_that_it_is_too_late_is_a_timeout(suite: DemoSuite) -> None:
    waiting = begun(suite)
    suite.github.client.call("POST", "/_sandbox/clock", body={"advance_s": 901})
    with pytest.raises(CommandFailed, match="not typed in at GitHub in time") as caught:
        await_session(suite.suite, waiting, sleep=lambda _: None)
    assert caught.value.exit_code == Exit.TIMED_OUT


def test_who_has_signed_in_applies_their_own_catalog_and_no_other(suite: DemoSuite, zekt: Zekt, tmp_path: Path) -> None:
    github = suite.github.client
    github.call("POST", "/_sandbox/repositories", body={"full_name": "octocat/tools"})
    github.call("POST", "/_sandbox/installations", body={"account": "octocat"})
    with logging_in(suite, tmp_path) as (process, code):
        answer(suite, code)
        process.communicate(timeout=120)
    own = tmp_path / "catalog.yaml"
    own.write_text("apiVersion: zekt.dev/v1\nrepositories:\n- {repository: octocat/tools, enabledAs: [provider]}\n")
    options = ("--url", suite.suite.url, "--data-dir", str(tmp_path / "none"))
    applied = zekt("apply", "-f", own, *options, XDG_CONFIG_HOME=str(tmp_path))
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "+ repository    octocat/tools" in applied.stdout
    own.write_text(own.read_text().replace("octocat", "acme"))
    refused = zekt("apply", "-f", own, *options, XDG_CONFIG_HOME=str(tmp_path))
    assert refused.returncode == Exit.REFUSED
    assert "not_owner" in refused.stderr


def test_a_session_is_renewed_before_it_ends_and_kept(suite: DemoSuite, tmp_path: Path) -> None:
    with logging_in(suite, tmp_path) as (process, code):
        answer(suite, code)
        process.communicate(timeout=120)
    file = SessionFile(tmp_path / "zekt" / "sessions.json")
    url = suite.suite.url
    first = file.find(url)
    assert session(url, file) == first
    renewed = session(url, file, now=lambda: time.time() + 50 * 60)
    assert renewed not in (None, first)
    assert file.find(url) == renewed
    assert account(suite, str(renewed)) == 200
    file.keep(url, "no.token.at-all")
    assert session(url, file) == "no.token.at-all"


def test_the_operator_token_is_sent_to_this_machine_alone(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "sessions.json")
    file.keep("https://zekt.example", "session")
    here = SuiteAddress(url="http://127.0.0.1:8080", token="operator", data_dir=tmp_path)
    there = SuiteAddress(url="https://zekt.example", token="operator", data_dir=tmp_path)
    assert with_credential(here, file).token == "operator"
    assert with_credential(there, file).token == "session"
    file.remove("https://zekt.example")
    assert with_credential(there, file).token is None


def test_services_at_urls_of_their_own_are_shown_the_suites_session(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "sessions.json")
    file.keep("https://zekt.example", "session")
    services = {"ingress": "http://127.0.0.1:18101"}
    of_all = SuiteAddress(url="https://zekt.example", token="operator", data_dir=tmp_path, services=services)
    assert with_credential(of_all, file, env={}).token == "session"
    assert with_credential(of_all, file, env={"ZEKT_TOKEN": "entra"}).token == "entra"
    of_one = SuiteAddress(url="", token="operator", data_dir=tmp_path, services=services)
    assert with_credential(of_one, file, env={}).token == "operator"
    assert with_credential(of_one, file, env={"ZEKT_TOKEN": "entra"}).token == "entra"


@pytest.mark.parametrize("env", [{}, {"ZEKT_TOKEN": "entra"}])
def test_no_token_travels_in_the_open(tmp_path: Path, env: dict[str, str]) -> None:
    file = SessionFile(tmp_path / "sessions.json")
    file.keep("https://zekt.example", "session")
    services = {"ingress": "http://ingress.example"}
    address = SuiteAddress(url="https://zekt.example", token="operator", data_dir=tmp_path, services=services)
    with pytest.raises(CommandFailed, match=r"no token travels to http://ingress\.example") as refused:
        with_credential(address, file, env=env)
    assert refused.value.exit_code == Exit.USAGE
