"""The operator's token: a file in the data directory that opens the operators' routes, over loopback only."""

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from pathlib import Path

from zekt_common.auth.bearer import bearer_token
from zekt_common.auth.refusals import TokenRefused
from zekt_common.auth.secret_file import read_or_create
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import Refusal

TOKEN_FILE = "operator.token"  # noqa: S105 - a file's name
_MIN_LENGTH = 32
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def ensure_operator_token(data_dir: Path) -> str:
    """Return the data directory's operator token, making it (mode 0600) at first use.

    Raises:
        StorageUnusable: the file cannot be used, or holds something too short to be a secret.
    """
    path = data_dir / TOKEN_FILE
    token = read_or_create(path, lambda: secrets.token_urlsafe(32).encode()).decode("ascii", "replace").strip()
    if len(token) < _MIN_LENGTH:
        raise StorageUnusable(f"{path} holds no operator token: remove it and a new one is made")
    return token


def check_operator(token: str, headers: Mapping[str, str], peer: str | None) -> None:
    """Pass if the request comes from this machine itself and carries the operator token.

    Raises:
        Refusal: 403 from elsewhere, a proxy's clients included.
        TokenRefused: no token or another one.
    """
    if not _is_loopback(peer) or any(name in headers for name in _FORWARDED):
        raise Refusal(403, "operator_not_local", "Operators' routes answer calls from the machine itself only.")
    if not hmac.compare_digest(bearer_token(headers.get("Authorization")).encode(), token.encode()):
        raise TokenRefused(f"That is not the operator token. It is in the file {TOKEN_FILE} of the data directory.")


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(mapped.is_loopback if mapped else address.is_loopback)
