"""Every stored payload as its account reads it: what is scanned as ciphertext hides whatever is in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from zekt_common.adapters.embedded import open_backend
from zekt_common.errors import PayloadNotFound


async def opened_payloads(data_dir: Path) -> list[tuple[str, bytes]]:
    """Return them, each opened with its account's key and named by whose it is, but those of erased accounts."""
    with closing(sqlite3.connect(f"file:{data_dir / 'payloads.db'}?mode=ro", uri=True)) as database:
        places = database.execute("SELECT account_id, sha256 FROM payloads").fetchall()
    opened: list[tuple[str, bytes]] = []
    async with open_backend(data_dir, "ingress") as backend:
        for account_id, sha256 in places:
            try:
                opened.append((f"a payload of account {account_id}", await backend.payloads.get(account_id, sha256)))
            except PayloadNotFound:
                continue
    return opened
