"""The sessions of `zekt login`: one for each suite, in a file that is its owner's alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zekt_cli.exits import CommandFailed, Exit


@dataclass(frozen=True)
class SessionFile:
    """Session tokens by the URL of their suite."""

    path: Path

    @classmethod
    def of_user(cls, env: Mapping[str, str] = os.environ) -> "SessionFile":
        """Return the user's file, below XDG_CONFIG_HOME or `~/.config`."""
        configured = env.get("XDG_CONFIG_HOME", "")
        home = Path(configured) if configured.startswith("/") else Path.home() / ".config"
        return cls(home / "zekt" / "sessions.json")

    def find(self, url: str) -> str | None:
        """Return the token for the suite at this URL, whether it still works or not.

        Raises:
            CommandFailed: 1 when the file cannot be read.
        """
        return self._tokens().get(url)

    def keep(self, url: str, token: str) -> None:
        """Store the token in place of the one before.

        Raises:
            CommandFailed: 1 when the file cannot be read or written.
        """
        self._write(self._tokens() | {url: token})

    def remove(self, url: str) -> None:
        """Forget the token for this suite; there need be none.

        Raises:
            CommandFailed: 1 when the file cannot be read or written.
        """
        self._write({kept: token for kept, token in self._tokens().items() if kept != url})

    def _tokens(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError:
            message = f"{self.path} is damaged: delete it, and sign in again with `zekt login`"
            raise CommandFailed(Exit.CHECK_FAILED, message) from None
        except OSError as error:
            raise CommandFailed(Exit.CHECK_FAILED, f"{self.path} cannot be read: {error.strerror}") from None

    def _write(self, tokens: Mapping[str, str]) -> None:
        draft = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(msgspec.json.encode(tokens))
            draft.replace(self.path)
        except OSError as error:
            raise CommandFailed(Exit.CHECK_FAILED, f"{self.path} cannot be written: {error.strerror}") from None
