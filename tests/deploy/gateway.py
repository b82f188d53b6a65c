"""The gateway's configuration as nginx reads it: which upstream a path on a port is passed to."""

import re
from dataclasses import dataclass
from typing import Final

from tests.deploy.composition import DOCKER

_SERVER: Final = re.compile(r"^    server \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)
_LISTEN: Final = re.compile(r"listen ([\d.:]+);")
_LOCATION: Final = re.compile(r"location (= )?(\S+) \{ (?:proxy_pass http://(\w+);|return (\d+).*) \}")
_PLAIN: Final = re.compile(r'map \$request_uri \$is_plain \{\s+default 0;\s+"~(.+)" 1;\s+\}')
_UPSTREAM: Final = re.compile(r"upstream (\w+) \{\s+server ([\d.:]+);")


@dataclass(frozen=True)
class Location:
    """One location; no upstream means that nginx answers itself."""

    path: str
    exact: bool
    upstream: str | None

    def fits(self, path: str) -> bool:
        return path == self.path if self.exact else path.startswith(self.path)


class Server:
    """One server of the configuration."""

    def __init__(self, text: str) -> None:
        self.text = text
        (self.listen,) = _LISTEN.findall(text)
        found = _LOCATION.findall(text)
        self.locations = [Location(path, bool(exact), upstream or None) for exact, path, upstream, _ in found]
        assert len(found) == text.count("location "), "a location is written in a form that is not read here"

    def upstream_of(self, path: str) -> str | None:
        """Return where a path goes: an exact location first, then the longest prefix."""
        fitting = [location for location in self.locations if location.fits(path)]
        return max(fitting, key=lambda location: (location.exact, len(location.path))).upstream


def servers() -> tuple[Server, Server]:
    """Return the one for everybody and the one for operators."""
    public, operators = (Server(text) for text in _SERVER.findall(_text()))
    return public, operators


def upstreams() -> dict[str, str]:
    return dict(_UPSTREAM.findall(_text()))


def is_plain(request_uri: str) -> bool:
    """Return whether the gateway takes a path that is written so, as it was sent and with its query."""
    (pattern,) = _PLAIN.findall(_text())
    return re.search(pattern, request_uri) is not None


def _text() -> str:
    return (DOCKER / "gateway.conf").read_text()
