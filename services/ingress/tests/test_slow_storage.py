"""While storage hangs a webhook is answered before GitHub gives up, and its repeat changes nothing."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from zekt_common.auth import authorisation_guard
from zekt_ingress import webhook_door

from .conftest import Running, Sender

SUSPENDED = json.dumps({"action": "suspend", "installation": {"id": 1}, "sender": {"id": 2, "login": "x"}}).encode()


@contextlib.contextmanager
def hanging(file: Path) -> Iterator[None]:
    """Let nobody else write to the file."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_who_is_turned_away_while_nothing_can_be_noted_waits_no_longer_either(
    running: Running, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = sender.hook("not the secret", "integration", running.sandbox.app_id)
    with hanging(running.data_dir / "ingress.db"):
        monkeypatch.setattr(authorisation_guard, "NOTED_WITHIN_S", 0.05)
        answer = await sender.send(SUSPENDED, forged, event="installation")
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "storage_slow"), "5")
    monkeypatch.undo()
    assert (await sender.send(SUSPENDED, forged, event="installation")).status == 401
    assert await running.refusals() == {("unknown", "signature_refused")}


@pytest.mark.parametrize("file", ["payloads.db", "ingress.db"])
@pytest.mark.parametrize("event", ["workflow_run", "installation"])
async def test_a_webhook_that_is_not_stored_in_time_is_503_and_taken_in_when_it_is_sent_again(
    running: Running, sender: Sender, monkeypatch: pytest.MonkeyPatch, file: str, event: str
) -> None:
    body = await sender.completed() if event == "workflow_run" else SUSPENDED
    assert (await sender.send(SUSPENDED, event="installation")).status == 202  # the account's key is there
    headers = sender.headers(body, event=event)
    with hanging(running.data_dir / file):
        monkeypatch.setattr(webhook_door, "KEEP_WITHIN_S", 0.05)
        answer = await running.webhook(body, headers)
    assert (answer.told, answer.headers["Retry-After"]) == ((503, "storage_slow"), "5")
    monkeypatch.undo()
    assert (await running.webhook(body, headers)).status == 202
    assert len(await running.stored()) == 2
    assert running.archived() == (2 if event == "workflow_run" else 1)
