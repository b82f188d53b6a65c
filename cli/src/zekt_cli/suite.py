"""Finding the running suite, and the token that opens its operators' routes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from zekt_cli.addresses import read_urls
from zekt_cli.exits import CommandFailed, Exit

SUITE_FILE = "suite.json"
SANDBOX_FILE = "sandbox.json"
TOKEN_FILE = "operator.token"  # noqa: S105 - a file's name


class SuiteState(msgspec.Struct, frozen=True, rename="camel"):
    """What `zekt up` writes into the data directory once it is ready."""

    url: str
    internal_url: str
    pid: int
    version: str


@dataclass(frozen=True, kw_only=True)
class SuiteAddress:
    """Where a suite answers and the operator token for it, None when the data directory has none.

    `services` are those that answer at a URL of their own; when these are all that is known, `url` is empty.
    """

    url: str
    token: str | None
    data_dir: Path
    services: Mapping[str, str] = field(default_factory=dict)


def locate(urls: Sequence[str], data_dir: Path) -> SuiteAddress:
    """Return the suite at these URLs, else the one that `suite.json` in the data directory names.

    Raises:
        CommandFailed: 2 when the URLs contradict each other, 3 when nothing says where the suite is.
    """
    url, services = read_urls(urls)
    found = url or ("" if services else _running(data_dir).url.rstrip("/"))
    return SuiteAddress(url=found, token=_token(data_dir), data_dir=data_dir, services=services)


def _running(data_dir: Path) -> SuiteState:
    path = data_dir / SUITE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=SuiteState)
    except FileNotFoundError:
        hint = "start one with `zekt up`, or say where it is with --url or --data-dir"
        raise CommandFailed(Exit.UNREACHABLE, f"no suite runs on {data_dir}: {hint}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise CommandFailed(Exit.UNREACHABLE, f"{path} cannot be read: {error}") from error


def _token(data_dir: Path) -> str | None:
    try:
        return (data_dir / TOKEN_FILE).read_text().strip() or None
    except OSError:
        return None
