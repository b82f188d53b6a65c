"""The GitHub stand-in beside the suite: started and ended with it, with an App that outlives restarts."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import msgspec

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.hosting.child import Child, ChildFailed, child

STARTS_WITHIN_S: Final = 20.0
ENDS_WITHIN_S: Final = 3.0
_STATE_FILE = "sandbox-process.json"
_APP_FILE = "sandbox-app.json"
_KEY_FILE = "sandbox-app.pem"
_LOG_FILE = "sandbox.log"


class StandIn(msgspec.Struct, frozen=True, rename="camel"):
    """Where the stand-in answers and which App it knows."""

    github: str
    issuer: str
    webhook_secret: str
    app_id: int
    client_id: str
    client_secret: str
    private_key_file: str

    def settings(self) -> dict[str, str]:
        """Return the suite's settings that point at the stand-in."""
        return {
            "ZEKT_GITHUB_API_URL": self.github,
            "ZEKT_GITHUB_OIDC_ISSUER": self.issuer,
            "ZEKT_GITHUB_APP_ID": str(self.app_id),
            "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": self.private_key_file,
            "ZEKT_GITHUB_WEBHOOK_SECRETS": self.webhook_secret,
            "ZEKT_GITHUB_OAUTH_CLIENT_ID": self.client_id,
            "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": self.client_secret,
        }


class _App(msgspec.Struct, frozen=True):
    """What a restart keeps of the App beside its key; `starts` keeps run ids from coming again."""

    app_id: int
    webhook_secret: str
    starts: int = 1


@dataclass(frozen=True)
class Starting:
    """A stand-in that has been started and gets ready while its starter does something else."""

    child: Child
    data_dir: Path

    def ready(self) -> StandIn:
        """Wait until the stand-in answers, and return where.

        Raises:
            CommandFailed: 1 when it does not start; the message says why.
        """
        try:
            self.child.ready_line(STARTS_WITHIN_S)
        except ChildFailed as error:
            reason = str(error).removeprefix("zekt-sandbox: ")
            message = f"the GitHub stand-in did not start: {reason}. ZEKT_SANDBOX_PORT sets another port"
            raise CommandFailed(Exit.CHECK_FAILED, message) from error
        state = msgspec.json.decode((self.data_dir / _STATE_FILE).read_bytes(), type=StandIn)
        _keep_app(self.data_dir, state)
        return state


@contextmanager
def stand_in(data_dir: Path, port: int, webhook_url: str, env: Mapping[str, str]) -> Iterator[Starting]:
    """Run the stand-in on `port` (0: a free one) until the block ends."""
    arguments = [
        *("zekt_sandbox", "--port", str(port), "--webhook-url", webhook_url),
        *("--callback-url", _callback_url(webhook_url, env)),
        *("--state-file", str(data_dir / _STATE_FILE), "--private-key-file", str(data_dir / _KEY_FILE)),
        *_kept_app(data_dir, env),
    ]
    with child(arguments, log=data_dir / _LOG_FILE, ends_within_s=ENDS_WITHIN_S) as started:
        yield Starting(started, data_dir)


def _callback_url(webhook_url: str, env: Mapping[str, str]) -> str:
    """Return where sign-in comes back to; the suite is reached as by webhooks unless a setting says otherwise."""
    public_url = env.get("ZEKT_PUBLIC_URL", "").strip() or urljoin(webhook_url, "/")
    return f"{public_url.rstrip('/')}/auth/callback"


def _kept_app(data_dir: Path, env: Mapping[str, str]) -> list[str]:
    """Return the options that keep the App as it was; an id or a secret in the environment wins."""
    kept = _read_app(data_dir)
    secret = env.get("ZEKT_GITHUB_WEBHOOK_SECRETS", "").split(",")[0].strip() or (kept and kept.webhook_secret)
    app_id = env.get("ZEKT_GITHUB_APP_ID", "").strip() or (kept and str(kept.app_id))
    options = ["--webhook-secret", secret] if secret else []
    options += ["--app-id", app_id] if app_id else []
    return [*options, "--seed", str(kept.starts if kept else 0)]


def _read_app(data_dir: Path) -> _App | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((data_dir / _APP_FILE).read_bytes(), type=_App)
    return None


def _keep_app(data_dir: Path, state: StandIn) -> None:
    kept = _read_app(data_dir)
    app = _App(state.app_id, state.webhook_secret, starts=kept.starts + 1 if kept else 1)
    path = data_dir / _APP_FILE
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(app))
