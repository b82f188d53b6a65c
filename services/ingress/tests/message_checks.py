"""What tests of messages share: a secret, an envelope, and how answers and stored messages are looked at."""

import json
from typing import Any

from zekt_ingress.message import MESSAGE_SCHEMAS, MessageReceived

from .conftest import Answer, Running

TOKEN = "ghp_" + "a1B2" * 9
SHIELD = {
    "type": "zekt-shield-envelope",
    "recipients": [{"consumerId": "c1", "encryptedPayload": "ghp" + TOKEN.replace("_", "") + "=="}],
    "algorithm": "RSA-OAEP",
    "version": "1.0",
}
DISHONEST: list[dict[str, Any]] = [
    {"audience": "api://other"},
    {"expires_in_s": -120},
    {"claims": {"iss": "https://evil.example"}},
    {"without": ["repository_id"]},
    {"forgery": "none"},
    {"forgery": "hs256"},
    {"forgery": "foreign_key"},
    {"forgery": "unknown_kid"},
]
"""How a token is made that is not to be believed."""


def refused(answer: Answer, status: int, words: str) -> None:
    assert answer.status == status, answer.body
    assert set(answer.body) == {"error"}
    assert words in answer.body["error"]
    assert answer.body["error"].endswith(".")


async def messages(running: Running) -> list[MessageReceived]:
    events = [MESSAGE_SCHEMAS.decode(stored) for stored in await running.stored()]
    return [event for event in events if isinstance(event, MessageReceived)]


async def only_message(running: Running) -> MessageReceived:
    (message,) = await messages(running)
    return message


def utf8(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
