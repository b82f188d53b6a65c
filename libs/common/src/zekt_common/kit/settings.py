"""Settings from the environment: every missing or malformed variable is named at once."""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from zekt_common.errors import SettingsError

LogFormat = Literal["console", "json"]
Option = TypeVar("Option", bound=str)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_PORT = 65535
MAX_ACCOUNT_ID = 2**53


class EnvironmentReader:
    """Reads variables, collecting what is wrong with them; `check` raises it all once everything was read.

    An empty variable counts as missing. What a reading method returns after a problem is a placeholder.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: dict[str, None] = {}

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return the variable's value without surrounding space; required unless there is a default."""
        value = self._env.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.reject(name, "is not set")
        return default or ""

    def optional(self, name: str) -> str | None:
        """Return the variable's value, or None when it is not set."""
        return self._env.get(name, "").strip() or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the comma separated values, none when the variable is not set."""
        return tuple(part for part in map(str.strip, self._env.get(name, "").split(",")) if part)

    def number(self, name: str, *, default: int | None = None, minimum: int = 1, maximum: int = 2**63) -> int:
        """Return a whole number within the bounds."""
        value = self.text(name, default=None if default is None else str(default))
        if not value:
            return minimum
        if not (value.isascii() and value.isdigit() and minimum <= int(value) <= maximum):
            self.reject(name, f"must be a whole number from {minimum} to {maximum}, not {value!r}")
            return minimum
        return int(value)

    def account_ids(self, name: str) -> frozenset[int]:
        """Return the comma separated GitHub user ids, none when the variable is not set."""
        values = self.texts(name)
        for value in values:
            if not (value.isascii() and value.isdigit() and 1 <= int(value[:20]) <= MAX_ACCOUNT_ID):
                self.reject(
                    name, f"must be GitHub user ids, such as 583231,9919, not {value!r}: ids stay, logins change"
                )
                return frozenset()
        return frozenset(map(int, values))

    def networks(self, name: str) -> tuple[Network, ...]:
        """Return the comma separated networks and addresses, none when the variable is not set."""
        try:
            networks = tuple(ipaddress.ip_network(value) for value in self.texts(name))
        except ValueError as error:
            self.reject(name, f"must be networks, such as 10.244.0.0/16 or 127.0.0.1: {error}")
            return ()
        if not all(network.prefixlen for network in networks):
            self.reject(name, "must name whom to trust, which cannot be everybody")
            return ()
        return networks

    def port(self, name: str, *, default: int) -> int:
        """Return a TCP port; 0 lets the system choose."""
        return self.number(name, default=default, minimum=0, maximum=_MAX_PORT)

    def path(self, name: str, *, default: str | None = None) -> Path:
        """Return a path, with `~` expanded."""
        return Path(self.text(name, default=default)).expanduser()

    def file(self, name: str) -> bytes | None:
        """Return the content of the file that the variable names; None after a problem."""
        path = self.path(name)
        if not self.optional(name):
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            self.reject(name, f"names {path}, which cannot be read: {error.strerror}")
            return None

    def url(self, name: str, *, default: str | None = None) -> str:
        """Return an http or https URL without a trailing slash, query or credentials."""
        value = self.text(name, default=default).rstrip("/")
        if value and not _is_plain_url(value):
            self.reject(name, f"must be an http(s) URL without query or credentials, not {value!r}")
        return value

    def secure_url(self, name: str, *, default: str | None = None) -> str:
        """Return a URL that credentials may travel to: https, or plain http on loopback."""
        value = self.url(name, default=default)
        if _is_plain_url(value) and not is_secure_url(value):
            self.reject(name, f"must be an https URL, since plain http is for loopback alone, not {value!r}")
        return value

    def choice(self, name: str, options: Collection[Option], *, default: Option) -> Option:
        """Return the option that the variable names."""
        value = self.text(name, default=default)
        for option in options:
            if value == option:
                return option
        self.reject(name, f"must be one of {', '.join(options)}, not {value!r}")
        return default

    def log_format(self, name: str) -> LogFormat:
        """Return `console` (the default) or `json`."""
        value = self.text(name, default="console")
        if value not in ("console", "json"):
            self.reject(name, f"must be console or json, not {value!r}")
        return "json" if value == "json" else "console"

    def reject(self, name: str, problem: str) -> None:
        """Note that the variable is unusable; `problem` continues the sentence that starts with its name."""
        self._problems[f"{name} {problem}"] = None

    def check(self) -> None:
        """Pass if everything read so far was usable.

        Raises:
            SettingsError: it names every variable that was not.
        """
        if self._problems:
            raise SettingsError("; ".join(self._problems))


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Where a process listens, keeps its data, how it logs, and whom it lets operate it.

    With `writer_process`, as in every process that its environment sets up, another one commits for it. `operators` are
    GitHub user ids; whose session one is, `identity_url` says for `public_url`, both the process's own when empty.
    `trusted_proxies` are believed whose call it is that they pass on to the public port.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    internal_port: int = 8079
    data_dir: Path = Path(".zekt")
    log_format: LogFormat = "console"
    writer_process: bool = False
    operators: frozenset[int] = frozenset()
    trusted_proxies: tuple[Network, ...] = ()
    identity_url: str = ""
    public_url: str = ""

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "HostSettings":
        """Return the settings in the reader's environment; what is wrong with them stays with the reader."""
        return cls(
            host=reader.text("ZEKT_HOST", default="127.0.0.1"),
            port=reader.port("ZEKT_PORT", default=8080),
            internal_port=reader.port("ZEKT_INTERNAL_PORT", default=8079),
            data_dir=reader.path("ZEKT_DATA_DIR", default="./.zekt"),
            log_format=reader.log_format("ZEKT_LOG_FORMAT"),
            writer_process=True,
            operators=reader.account_ids("ZEKT_OPERATORS"),
            trusted_proxies=reader.networks("ZEKT_TRUSTED_PROXIES"),
            identity_url=reader.url("ZEKT_IDENTITY_URL", default=""),
            public_url=reader.url("ZEKT_PUBLIC_URL", default=""),
        )


def is_secure_url(value: str) -> bool:
    """Return whether nobody on the way can read or change what is sent there: https, or http on loopback."""
    scheme = urlsplit(value).scheme
    return scheme == "https" or (scheme == "http" and is_loopback_url(value))


def is_loopback_url(value: str) -> bool:
    """Return whether what is sent there stays on this machine."""
    return _is_loopback(urlsplit(value).hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and not (parts.query or parts.fragment or parts.username is not None)
        )
    except ValueError:
        return False
