"""A suite and a GitHub stand-in in processes of their own, with one provider and two subscribed consumers."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import process, wait_until_answering
from tests.ports import free_port

PROVIDER, CONSUMERS = "acme/provider", ("beta/consumer", "gamma/consumer")
WORKFLOW = ".github/workflows/ci.yml"
SERVICES = ("identity", "ingress", "router", "dispatcher")


@dataclass(frozen=True)
class RunningSuite:
    """Where everything listens; `pids` are the suite's processes by name."""

    sandbox_url: str
    webhook_secret: str
    app_id: int
    ingress_port: int
    router_port: int
    pids: dict[str, int]
    operator_token: str

    def call(self, method: str, url: str, body: object = None) -> Any:
        """Make a JSON request as operator and return the answer's JSON."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.operator_token}"},
        )
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or b"null")

    def dispatches(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many dispatches were accepted, at most 90 s, and return all that were received."""
        wait = f"{self.sandbox_url}/_sandbox/dispatches?wait={count}&timeout_s=80"
        answer = self.call("GET", wait)
        received: list[dict[str, Any]] = answer["dispatches"]
        return received

    def forget_dispatches(self) -> None:
        """Have the stand-in count from zero."""
        self.call("DELETE", f"{self.sandbox_url}/_sandbox/dispatches")


@contextlib.contextmanager
def running_suite(directory: Path, *, four_processes: bool = False) -> Iterator[RunningSuite]:
    """Run stand-in and suite until the block ends. GitHub's rate limits are off: they are not what is measured."""
    ports = {name: (free_port(), free_port()) for name in (SERVICES if four_processes else ("suite",))}
    ingress_port = ports.get("ingress", ports.get("suite", (0, 0)))[0]
    router_port = ports.get("router", ports.get("suite", (0, 0)))[0]
    identity_port = ports.get("identity", ports.get("suite", (0, 0)))[1]
    state_file, sandbox_port = directory / "sandbox.json", free_port()
    options = ["--port", str(sandbox_port), "--state-file", str(state_file), "--no-limits"]
    webhook_url = f"http://127.0.0.1:{ingress_port}/webhooks/github"
    with contextlib.ExitStack() as stack:
        stack.enter_context(process("zekt_sandbox", *options, "--webhook-url", webhook_url))
        wait_until_answering(f"http://127.0.0.1:{sandbox_port}/_sandbox/credentials")
        state = json.loads(state_file.read_text())
        env = {
            "ZEKT_DATA_DIR": str(directory / "data"),
            "ZEKT_GITHUB_API_URL": state["github"],
            "ZEKT_GITHUB_OIDC_ISSUER": state["issuer"],
            "ZEKT_GITHUB_APP_ID": str(state["appId"]),
            "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": state["privateKeyFile"],
            "ZEKT_GITHUB_WEBHOOK_SECRETS": state["webhookSecret"],
            "ZEKT_IDENTITY_URL": f"http://127.0.0.1:{identity_port}",
        }
        pids = {}
        for name, (public, internal) in ports.items():
            module = ("zekt_cli", "up") if name == "suite" else (f"zekt_{name}",)
            listening = {"ZEKT_PORT": str(public), "ZEKT_INTERNAL_PORT": str(internal)}
            started = stack.enter_context(process(*module, env=env | listening, log=directory / f"{name}.log"))
            pids[name] = started.pid
        for public, _ in ports.values():
            wait_until_answering(f"http://127.0.0.1:{public}/ready")
        token = (directory / "data" / "operator.token").read_text().strip()
        suite = RunningSuite(
            state["github"], state["webhookSecret"], int(state["appId"]), ingress_port, router_port, pids, token
        )
        _onboard(suite)
        yield suite


def _onboard(suite: RunningSuite) -> None:
    control = f"{suite.sandbox_url}/_sandbox"
    for repository in (PROVIDER, *CONSUMERS):
        suite.call("POST", f"{control}/repositories", {"full_name": repository})
        suite.call("POST", f"{control}/installations", {"account": repository.split("/")[0]})
    suite.call("POST", f"{control}/workflows", {"repository": PROVIDER, "path": WORKFLOW, "name": "CI"})
    answer = suite.call("POST", f"http://127.0.0.1:{suite.router_port}/api/catalog/apply", _catalog())
    waiting = {"eventIds": answer["positions"], "timeoutS": 10}
    suite.call("POST", f"http://127.0.0.1:{suite.ingress_port}/api/operations/ingress/wait", waiting)


def _catalog() -> dict[str, Any]:
    return {
        "apiVersion": "zekt.dev/v1",
        "accounts": [{"login": login, "persona": "both"} for login in ("acme", "beta", "gamma")],
        "repositories": [
            {"repository": PROVIDER, "enabledAs": ["provider"]},
            *({"repository": consumer, "enabledAs": ["consumer"]} for consumer in CONSUMERS),
        ],
        "workflows": [{"repository": PROVIDER, "path": WORKFLOW, "mode": "events"}],
        "services": [{"owner": "acme", "slug": "ci-finished", "repository": PROVIDER, "workflow": WORKFLOW}],
        "subscriptions": [
            {"service": "acme/ci-finished", "target": consumer, "status": "approved"} for consumer in CONSUMERS
        ],
    }


def webhook_body(suite: RunningSuite, run_id: int) -> bytes:
    """Have the stand-in make the body of a completed run with this id."""
    control = f"{suite.sandbox_url}/_sandbox"
    order = {"repository": PROVIDER, "workflow": WORKFLOW, "id": run_id, "send": False}
    suite.call("POST", f"{control}/runs", order)
    answer = suite.call("POST", f"{control}/runs/{run_id}/complete", {"send": False})
    [delivery] = answer["deliveries"]
    body: str = delivery["request"]["body"]
    return body.encode()
