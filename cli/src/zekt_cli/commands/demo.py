"""`zekt demo`: the main job, end to end, verified."""

import contextlib
import signal
import sys
import time
from types import FrameType
from typing import Any

import click

from zekt_cli import options
from zekt_cli.demo.checks import CheckFailed
from zekt_cli.demo.story import NOT_LISTED, Story
from zekt_cli.demo.suite import running_suite
from zekt_cli.demo.telling import Narrator, catalog_summary
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.output import console, print_json
from zekt_cli.tracing.show import trace_rows


@click.command("demo")
@click.option(
    "--backend", type=click.Choice(["sqlite", "azure"]), default="sqlite", show_default=True, help="The engine."
)
@click.option("--keep", is_flag=True, help="Leave it running afterwards, to look around, until Ctrl-C.")
@options.as_json
def command(*, backend: str, keep: bool, as_json: bool) -> None:
    """Run the main job on real input and verify it, on free ports and in a directory that is gone afterwards.

    Onboards a provider and two consumers at a stand-in for GitHub, posts a message with a signed OIDC token, sends a
    signed webhook, and reads at the stand-in what came of it. Exit 0 only if everything held.
    """
    signal.signal(signal.SIGTERM, _exit)
    narrator = Narrator(console(quiet=as_json))
    try:
        result = _play(narrator, backend=backend, keep=keep)
    except (CheckFailed, CommandFailed) as error:
        narrator.failed(str(error))
        raise CommandFailed(Exit.CHECK_FAILED, f"the demo's check failed: {error}") from error
    if as_json:
        print_json(result)


def _play(narrator: Narrator, *, backend: str, keep: bool) -> dict[str, Any]:
    started = time.monotonic()
    narrator.title()
    with running_suite(backend) as demo:
        result = _tell(narrator, Story(demo))
        took_s = round(time.monotonic() - started, 3)
        narrator.end(result["checks"], took_s)
        if keep:
            narrator.kept(demo.data_dir)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return {"tookS": took_s, **result}


def _tell(narrator: Narrator, story: Story) -> dict[str, Any]:
    """Play the story step by step and tell each once it held."""
    narrator.step("Four services run, and GitHub's stand-in beside them", f"at {story.demo.suite.url}")
    applied = story.onboard()
    narrator.step("The catalog says who provides and who consumes", catalog_summary(applied))
    run = story.start_run()
    answer = story.post_message(run)
    narrator.step(
        "A run of acme/provider posts a message with its OIDC token",
        f"run {run.id}, for {answer['consumersNotified']} subscribers",
        f"stored as {answer['eventId']}",
    )
    story.complete(run)
    found = story.dispatches(run)
    narrator.step(f"The run's signed webhook arrives; GitHub got {len(found)} dispatches")
    narrator.dispatches(found)
    reason = story.block()
    narrator.step("A workflow that is not listed completes: no dispatch", f"{NOT_LISTED}: {reason}")
    steps = story.trace(run)
    narrator.step("All of it is stored, each event with its cause")
    narrator.trace(steps)
    return {"checks": story.checks.passed, "dispatches": found, "trace": trace_rows(steps)}


def _exit(number: int, _frame: FrameType | None) -> None:
    """End as an exception, so that everything that was started is ended too."""
    sys.exit(128 + number)
