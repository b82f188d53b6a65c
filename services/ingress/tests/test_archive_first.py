"""A webhook that somebody reads the body of is told only once the body is stored."""

import contextlib
import json
import sqlite3

from .conftest import Running, Sender


async def test_of_an_app_webhook_nothing_is_stored_when_its_body_cannot_be(running: Running, sender: Sender) -> None:
    body = json.dumps({"action": "suspend", "installation": {"id": 1}, "sender": {"id": 2, "login": "x"}}).encode()
    with contextlib.closing(sqlite3.connect(running.data_dir / "payloads.db")) as file:
        file.execute("ALTER TABLE payloads RENAME TO gone")
        assert (await sender.send(body, event="installation")).status == 503
        assert await running.stored() == []
        file.execute("ALTER TABLE gone RENAME TO payloads")
    assert (await sender.send(body, event="installation")).status == 202
    assert len(await running.stored()) == 1
