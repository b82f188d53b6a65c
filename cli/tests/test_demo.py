import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.tests.conftest import Zekt, environment

from zekt_cli.demo.checks import CheckFailed, Checks
from zekt_cli.demo.story import Story
from zekt_cli.demo.suite import running_suite


def test_the_demo_verifies_the_main_job_and_leaves_nothing_behind(zekt: Zekt, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    ended = zekt("demo", TMPDIR=str(temporary))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for said in ("beta/consumer", "gamma/consumer", "2.4.0", "workflow_not_listed", "checks passed"):
        assert said in ended.stdout
    assert list(temporary.iterdir()) == []


def test_the_demo_as_json_holds_the_dispatches_and_the_trace(zekt: Zekt) -> None:
    ended = zekt("demo", "--json")
    result = json.loads(ended.stdout)
    assert [sent["repository"] for sent in result["dispatches"]] == ["beta/consumer", "gamma/consumer"]
    assert result["checks"] > 10
    assert {step["service"] for step in result["trace"]} == {"ingress", "router", "dispatcher"}


def test_a_kept_demo_can_be_looked_at_until_ctrl_c(zekt: Zekt, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zekt_cli", "demo", "--keep"]
    demo = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, cwd=tmp_path, env=environment(PYTHONUNBUFFERED="1"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert demo.stdout is not None
        kept = next(line for line in demo.stdout if "Still running" in line)
        data_dir = kept.rpartition("--data-dir ")[2].strip()
        assert "is ready" in zekt("status", "--data-dir", data_dir).stdout
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        assert not Path(data_dir).exists()
    finally:
        demo.kill()
        demo.communicate()


def test_the_demo_fails_by_the_name_of_the_check_when_a_dispatch_is_missing() -> None:
    with running_suite() as demo:
        story = Story(demo, patience_s=1.0)
        story.onboard()
        fault = {"kind": "error", "path": "/repos/gamma/*/dispatches", "count": None}
        demo.github.client.call("POST", "/_sandbox/faults", body=fault)
        run = story.start_run()
        story.complete(run)
        with pytest.raises(CheckFailed, match="each consumer gets one dispatch"):
            story.dispatches(run)


def test_a_check_that_never_comes_true_fails_by_name() -> None:
    with pytest.raises(CheckFailed, match=r"something arrives \(not within 0 s\)"):
        Checks().eventually("something arrives", lambda: None, within_s=0)
