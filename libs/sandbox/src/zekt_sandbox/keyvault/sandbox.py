"""A running vault and its controls as methods."""

from collections import Counter
from typing import Any

from zekt_sandbox.keyvault.front import Front
from zekt_sandbox.keyvault.keys import KeyVersion


class KeyVaultSandbox:
    """A running vault on `port`; `faults` are its switches.

    Clients call it by the name of a vault in Azure, which they resolve to this port themselves: they check that the
    challenge is one that a vault of that name would give.
    """

    def __init__(self, port: int, front: Front) -> None:
        self.port = port
        self.faults = front.faults
        self._front = front

    @property
    def requests(self) -> Counter[str]:
        """How many calls came in, by operation; those that were challenged count too."""
        return self._front.requests

    @property
    def challenges(self) -> int:
        """How many calls came without a token and were told whom to ask for one."""
        return self._front.authorizer.challenges

    @property
    def token_claims(self) -> list[dict[str, Any]]:
        """What the last 1,000 tokens that were presented claimed, accepted or not, oldest first."""
        return list(self._front.authorizer.claims)

    def add_version(self, name: str) -> KeyVersion:
        """Make a key, or a new version of it, as the vault's own rotation policy does."""
        return self._front.keys.add_version(name)

    def versions(self, name: str) -> list[KeyVersion]:
        """Return the versions of a key, oldest first.

        Raises:
            VaultError: there is no such key.
        """
        return self._front.keys.versions(name)
