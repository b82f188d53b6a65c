"""The gateway's configuration as HAProxy reads it: which backend a path on a port is passed to."""

import re
from dataclasses import dataclass
from typing import Final

from tests.deploy.composition import DOCKER

_SECTION: Final = re.compile(r"^(\w+) *(\w*)\n((?:[ #].*\n|\n)*)", re.MULTILINE)
_BIND: Final = re.compile(r"^    bind (\S*):(\d+)$", re.MULTILINE)
_RULE: Final = re.compile(r"^    use_backend (\w+) if \{ (path|path_beg) (/\S*) \}$", re.MULTILINE)
_PLAIN: Final = re.compile(r"acl plain url -m reg '(\S+)'")
_SERVER: Final = re.compile(r"^    server (\w+) ([\d.]+:\d+)$", re.MULTILINE)
NOWHERE: Final = "nowhere"


@dataclass(frozen=True)
class Rule:
    """One rule of a frontend: paths that are this, or begin so, go to the backend."""

    backend: str
    exact: bool
    path: str

    def fits(self, path: str) -> bool:
        return path == self.path if self.exact else path.startswith(self.path)


class Frontend:
    """One frontend of the configuration."""

    def __init__(self, text: str) -> None:
        self.text = text
        ((address, port),) = _BIND.findall(text)
        self.listen = f"{address}:{port}"
        self.rules = [Rule(backend, kind == "path", path) for backend, kind, path in _RULE.findall(text)]
        assert len(self.rules) == text.count("use_backend "), "a rule is written in a form that is not read here"
        assert f"    default_backend {NOWHERE}\n" in text

    def upstream_of(self, path: str) -> str | None:
        """Return the service that a path is passed to: that of the first rule that fits it."""
        return next((rule.backend for rule in self.rules if rule.fits(path)), None)


def servers() -> tuple[Frontend, Frontend]:
    """Return the frontend for everybody and the one for operators."""
    frontends = sections("frontend")
    assert list(frontends) == ["public", "operators"]
    return Frontend(frontends["public"]), Frontend(frontends["operators"])


def upstreams() -> dict[str, str]:
    """Return the address that each service's backend leads to."""
    backends = sections("backend")
    assert "http-request deny deny_status 404" in backends.pop(NOWHERE)
    found = {name: _SERVER.findall(text) for name, text in backends.items()}
    return {name: address for name, servers in found.items() for server, address in servers if server == name}


def sections(kind: str) -> dict[str, str]:
    """Return the text of each section of this kind, by its name."""
    text = (DOCKER / "gateway.cfg").read_text()
    return {name: body for found, name, body in _SECTION.findall(text) if found == kind}


def is_plain(request_uri: str) -> bool:
    """Return whether the gateway takes a path that is written so, as it was sent and with its query."""
    (pattern,) = _PLAIN.findall(sections("frontend")["public"])
    return re.search(pattern, request_uri) is not None
