"""Hooks and how GitHub signs what it sends through them."""

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


@dataclass(slots=True)
class Hook:
    """Where webhooks go and how they are signed: the App's hook, or one of a repository."""

    id: int
    url: str
    secret: str = field(repr=False)
    target_type: str
    target_id: int
    events: tuple[str, ...] = ("*",)
    active: bool = True
    content_type: str = "json"

    def hears(self, event: str) -> bool:
        """Whether the hook is sent `event`; a ping always."""
        return self.active and (event == "ping" or "*" in self.events or event in self.events)

    def encode(self, payload: bytes) -> bytes:
        """A JSON payload as the hook's body: itself, or the one field of a form."""
        return payload if self.content_type == "json" else urlencode({"payload": payload}).encode()

    def decode(self, body: bytes) -> bytes:
        """The JSON payload of a body of this hook."""
        return body if self.content_type == "json" else parse_qs(body)[b"payload"][0]


def sign(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_sha1(secret: str, body: bytes) -> str:
    """The value of the legacy `X-Hub-Signature`, which GitHub still sends beside the other."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def webhook_headers(hook: Hook, *, event: str, guid: str, body: bytes) -> dict[str, str]:
    """The headers that GitHub sends with `body` through `hook`."""
    signatures = {}
    if hook.secret:
        signatures = {"X-Hub-Signature": sign_sha1(hook.secret, body), "X-Hub-Signature-256": sign(hook.secret, body)}
    return {
        "Accept": "*/*",
        "Content-Type": _CONTENT_TYPES[hook.content_type],
        "User-Agent": "GitHub-Hookshot/6113728",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(hook.target_id),
        "X-GitHub-Hook-Installation-Target-Type": hook.target_type,
        **signatures,
    }
