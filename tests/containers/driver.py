"""Runs inside the composition, on the images' packages: `demo`, or `load SECONDS`; what it found goes out as JSON."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from zekt_cli.client import Answer, HttpClient, SuiteClient
from zekt_cli.demo.github import Dispatch, GitHub, Run
from zekt_cli.demo.story import CONSUMERS, LISTED, PROVIDER, Story, post_event
from zekt_cli.demo.suite import DemoSuite
from zekt_cli.exits import CommandFailed
from zekt_cli.suite import locate

GATEWAY: Final = "http://127.0.0.1:8000"
OPERATORS: Final = "http://127.0.0.1:8090"
GITHUB: Final = "http://127.0.0.1:8070"
DATA: Final = Path("/var/lib/zekt")
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.1
AMBIGUOUS: Final = "dev.zekt.delivery.attempt-ambiguous"


class Suite(SuiteClient):
    """The suite as its two kinds of users reach it: `url` is everybody's door, and requests go to the operators'."""

    def __init__(self) -> None:
        super().__init__(locate(GATEWAY, DATA))
        self._operators = SuiteClient(locate(OPERATORS, DATA))

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return self._operators.request(method, path, **options)


def connected() -> Story:
    """Return the story on a suite that answers."""
    github = GitHub(HttpClient(GITHUB))
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        suite = Suite()  # anew, since the operator's token is there only once a service has started
        if _ready(suite, github):
            return Story(DemoSuite(suite, github, DATA), patience_s=PATIENCE_S)
        time.sleep(PAUSE_S)
    raise SystemExit("the suite does not become ready")


def demo(story: Story) -> dict[str, Any]:
    """Do the main job, verified."""
    story.onboard()
    run = story.start_run()
    story.post_message(run)
    story.complete(run)
    story.dispatches(run)
    story.block()
    story.trace(run)
    return {"checks": story.checks.passed}


def load(story: Story, seconds: float) -> dict[str, Any]:
    """Complete runs for so long, then wait for the dispatches of those that were acknowledged whole."""
    github, acknowledged, refused = story.demo.github, set(), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run = github.start_run(PROVIDER, LISTED)
        if _acknowledged(github, run):
            acknowledged.add(str(run.id))
        else:
            refused += 1
        time.sleep(PAUSE_S)
    wanted = {(run_id, consumer) for run_id in acknowledged for consumer in CONSUMERS}
    sent = _sent(github, wanted)
    repeated = {id_ for id_, count in Counter(_zekt(one)["deliveryId"] for one in sent).items() if count > 1}
    return {
        "acknowledged": len(acknowledged),
        "refused": refused,
        "missing": len(wanted - _arrived(sent)),
        "repeated": len(repeated),
        "unreported": len(repeated - _ambiguous(story.demo.suite)),
    }


def _acknowledged(github: GitHub, run: Run) -> bool:
    try:
        posted = post_event(GATEWAY, github.oidc_token(run), run).status == 200
    except CommandFailed:
        posted = False
    return [delivery["status_code"] for delivery in github.complete(run)] == [202] and posted


def _sent(github: GitHub, wanted: set[tuple[str, str]]) -> list[Dispatch]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        sent = [one for one in github.dispatches() if one.status == 204]
        if wanted <= _arrived(sent) or time.monotonic() > deadline:
            return sent
        time.sleep(PAUSE_S)


def _arrived(sent: list[Dispatch]) -> set[tuple[str, str]]:
    return {(str(_zekt(one)["correlationId"]), one.repository) for one in sent}


def _zekt(dispatch: Dispatch) -> dict[str, Any]:
    content: dict[str, Any] = dispatch.client_payload["zekt"]
    return content


def _ambiguous(suite: SuiteClient) -> set[str]:
    page = suite.call("GET", f"/api/operations/dispatcher/events?limit=1000&type={AMBIGUOUS}")
    return {event["stream"].removeprefix("delivery/") for event in page["events"]}


def _ready(suite: SuiteClient, github: GitHub) -> bool:
    """Tell whether every service answers its operators, and the stand-in too."""
    try:
        github.dispatches()
        answers = [
            suite.request("GET", f"/api/operations/{name}/status")
            for name in ("ingress", "identity", "router", "dispatcher")
        ]
    except CommandFailed:
        return False
    return all(answer.status == 200 for answer in answers)


if __name__ == "__main__":
    told = connected()
    found = demo(told) if sys.argv[1] == "demo" else load(told, float(sys.argv[2]))
    sys.stdout.write(json.dumps(found) + "\n")
