import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.ports import free_port
from zekt_cli.addresses import read_urls
from zekt_cli.client import HttpClient, SuiteClient
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.suite import locate


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2].partition("?")[0]))
        self.end_headers()
        fields = {"error": "no_luck", "detail": self.path, "authorization": self.headers.get("Authorization")}
        self.wfile.write(json.dumps(fields).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/base"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.USAGE),
        (401, Exit.REFUSED),
        (403, Exit.REFUSED),
        (404, Exit.CHECK_FAILED),
        (500, Exit.CHECK_FAILED),
        (504, Exit.TIMED_OUT),
    ],
)
def test_each_refusal_ends_with_its_exit_code_and_the_suites_words(url: str, status: int, code: Exit) -> None:
    with pytest.raises(CommandFailed, match="no_luck") as caught:
        HttpClient(url).call("GET", f"/{status}")
    assert caught.value.exit_code == code


def test_a_query_leaves_out_what_is_not_asked_for(url: str) -> None:
    body = HttpClient(url).call("GET", "/200", query={"a": "x y", "b": None})
    assert body["detail"] == "/base/200?a=x+y"


def test_the_operator_token_goes_with_every_call(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("data")
    (directory / "operator.token").write_text("secret")
    assert SuiteClient(locate([url], directory)).call("GET", "/200")["authorization"] == "Bearer secret"


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(CommandFailed, match="is not reachable") as caught:
        HttpClient(f"http://127.0.0.1:{free_port()}").request("GET", "/")
    assert caught.value.exit_code == Exit.UNREACHABLE


def test_silence_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(CommandFailed, match=r"did not answer within 0\.05 s") as caught:
            HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}").request("GET", "/", timeout_s=0.05)
        assert caught.value.exit_code == Exit.TIMED_OUT


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://"])
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        HttpClient(url).request("GET", "/")
    assert caught.value.exit_code == Exit.USAGE


def test_the_suite_has_one_url_and_each_service_at_most_one_of_its_own() -> None:
    given = ["https://zekt.example/", "ingress=http://127.0.0.1:18101/", "ingress=http://127.0.0.1:18101"]
    assert read_urls(given) == ("https://zekt.example", {"ingress": "http://127.0.0.1:18101"})
    assert read_urls([]) == (None, {})
    for wrong, says in (
        (["http://a", "http://b"], "several URLs"),
        (["http://a", "nobody=http://b"], "several URLs"),
        (["router=http://a", "router=http://b"], "router has two URLs"),
    ):
        with pytest.raises(CommandFailed, match=says) as caught:
            read_urls(wrong)
        assert caught.value.exit_code == Exit.USAGE
