"""What services ask identity for and what it answers, and the golden file of each: the JSON as it is on the wire.

Run as a script (`python -m tests.skew.rest_examples`), this writes the files that are missing; one that exists is
never written again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest, UserToken, UserTokenRequest
from zekt_common.contracts.identity_sessions import PublicKey, SessionKeySet

REST: Final = Path(__file__).parents[1] / "golden" / "rest"
_AT: Final = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
_TO_DISPATCH: Final = {"contents": "write"}

Request = InstallationTokenRequest | UserTokenRequest
Answer = InstallationToken | UserToken | SessionKeySet

REQUESTS: Final[Mapping[str, Request]] = {
    "installation-token-request.by-ids": InstallationTokenRequest(
        installation_id=72, repository_ids=[22], permissions=_TO_DISPATCH, purpose="dispatch"
    ),
    "installation-token-request.rejected": InstallationTokenRequest(
        installation_id=72,
        repository_ids=[22],
        permissions=_TO_DISPATCH,
        purpose="dispatch",
        rejected_sha256="ab" * 32,
    ),
    "installation-token-request.by-name": InstallationTokenRequest(
        repository="beta/consumer", permissions={"metadata": "read"}, purpose="catalog"
    ),
    "user-token-request": UserTokenRequest(account_id=4_242, purpose="list repositories"),
}
ANSWERS: Final[Mapping[str, Answer]] = {
    "installation-token": InstallationToken(
        token="a-token", expires_at=_AT, installation_id=72, account_id=2, repository_ids=[22]
    ),
    "user-token": UserToken(token="a-token", expires_at=_AT, account_id=4_242, login="octocat"),
    "session-key-set": SessionKeySet(
        keys=[PublicKey(kid="k1", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")],
        ended_sessions=frozenset({"s1"}),
        ended_accounts={4_242: _AT},
    ),
}


def rest_file(name: str) -> Path:
    """Return where the golden file lies."""
    return REST / f"{name}.json"


if __name__ == "__main__":
    for name, example in {**REQUESTS, **ANSWERS}.items():
        if not rest_file(name).exists():
            rest_file(name).write_bytes(msgspec.json.format(msgspec.json.encode(example)) + b"\n")
