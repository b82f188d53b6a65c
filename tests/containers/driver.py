"""Runs in containers, on the images' packages: `demo`, `onboard` and `ambiguous` beside the services, `load` outside.

What it found goes out as JSON.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from zekt_cli.client import Answer, HttpClient, SuiteClient
from zekt_cli.demo.github import Dispatch, GitHub, Run
from zekt_cli.demo.story import CONSUMERS, LISTED, PROVIDER, Story, post_event
from zekt_cli.demo.suite import DemoSuite
from zekt_cli.exits import CommandFailed
from zekt_cli.suite import locate

GATEWAY: Final = "http://127.0.0.1:8000"
GATEWAY_FROM_OUTSIDE: Final = "http://network:8000"
OPERATORS: Final = "http://127.0.0.1:8090"
GITHUB: Final = "http://127.0.0.1:8070"
DATA: Final = Path("/var/lib/zekt")
STOP: Final = Path("/control/stop")
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.1
AT_A_TIME: Final = 8
BETWEEN_RUNS_S: Final = 0.2
AMBIGUOUS: Final = "dev.zekt.delivery.attempt-ambiguous"


class Suite(SuiteClient):
    """The suite as its two kinds of users reach it: `url` is everybody's door, and requests go to the operators'."""

    def __init__(self) -> None:
        super().__init__(locate([GATEWAY], DATA))
        self._operators = SuiteClient(locate([OPERATORS], DATA))

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


def onboard(story: Story) -> dict[str, Any]:
    """Tell GitHub and Zekt who provides and who consumes."""
    return {"changed": len(story.onboard().changed)}


def ambiguous(story: Story) -> list[str]:
    """Return the deliveries of which the dispatcher says that it cannot know whether an attempt has arrived."""
    query = f"/api/operations/dispatcher/events?limit=1000&type={AMBIGUOUS}"
    found, cursor = list[str](), ""
    while True:
        page = story.demo.suite.call("GET", f"{query}&cursor={cursor}" if cursor else query)
        found += [event["stream"].removeprefix("delivery/") for event in page["events"]]
        if page["cursor"] == cursor:
            return found
        cursor = page["cursor"]


def load(github: GitHub) -> dict[str, Any]:
    """Complete runs with a message each, several at a time, until told to stop; then wait for what was acknowledged."""
    with ThreadPoolExecutor(AT_A_TIME) as workers:
        ended = [each for some in workers.map(lambda _: list(_runs(github)), range(AT_A_TIME)) for each in some]
    acknowledged = {str(run.id) for run, message, webhook in ended if (message, webhook) == ("200", "202")}
    wanted = {(run_id, consumer) for run_id in acknowledged for consumer in CONSUMERS}
    sent = _sent(github, wanted)
    counts = Counter(_zekt(one)["deliveryId"] for one in sent)
    return {
        "acknowledged": len(acknowledged),
        "messages": Counter(message for _, message, _ in ended),
        "webhooks": Counter(webhook for _, _, webhook in ended),
        "missing": len(wanted - _arrived(sent)),
        "repeated": sorted(id_ for id_, count in counts.items() if count > 1),
    }


def _runs(github: GitHub) -> Iterator[tuple[Run, str, str]]:
    """Send message and webhook of one run after the other, each once, and yield how they were answered."""
    while not STOP.exists():
        with suppress(CommandFailed):  # GitHub tells of a run's start too, and waits for the answer
            run = github.start_run(PROVIDER, LISTED)
            yield run, _message(github, run), _webhook(github, run)
        time.sleep(BETWEEN_RUNS_S)


def _message(github: GitHub, run: Run) -> str:
    try:
        return str(post_event(GATEWAY_FROM_OUTSIDE, github.oidc_token(run), run).status)
    except CommandFailed:
        return "no answer"


def _webhook(github: GitHub, run: Run) -> str:
    try:
        return " ".join(str(delivery["status_code"]) for delivery in github.complete(run))
    except CommandFailed:
        return "no answer"


def _sent(github: GitHub, wanted: set[tuple[str, str]]) -> list[Dispatch]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        sent = [one for one in github.dispatches() if one.status == 204]
        if wanted <= _arrived(sent) or time.monotonic() > deadline:
            return sent
        time.sleep(1)


def _arrived(sent: list[Dispatch]) -> set[tuple[str, str]]:
    return {(str(_zekt(one)["correlationId"]), one.repository) for one in sent}


def _zekt(dispatch: Dispatch) -> dict[str, Any]:
    content: dict[str, Any] = dispatch.client_payload["zekt"]
    return content


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


def _found(action: str) -> Any:
    if action == "load":
        return load(GitHub(HttpClient(GITHUB)))
    return {"demo": demo, "onboard": onboard, "ambiguous": ambiguous}[action](connected())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_found(sys.argv[1])) + "\n")
