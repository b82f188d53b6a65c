"""What all bearer tokens have in common: where they are in a header, and how their times are judged."""

from datetime import datetime
from typing import Any

from zekt_common.auth.refusals import TokenRefused

MAX_TOKEN_LENGTH = 16 * 1024


def bearer_token(authorization: str | None) -> str:
    """Return the credential of an `Authorization: Bearer` header.

    Raises:
        TokenRefused: there is none, or it cannot be a token.
    """
    if not authorization:
        raise TokenRefused("Send the header Authorization: Bearer <token>.")
    scheme, _, credential = authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise TokenRefused("The Authorization header must be: Bearer <token>.")
    if len(credential) > MAX_TOKEN_LENGTH or not credential.isascii() or " " in credential:
        raise TokenRefused("The Authorization header holds no token: it is too long or has characters no token has.")
    return credential


def check_times(claims: dict[str, Any], now: datetime, leeway_s: float) -> None:
    """Pass if `now` lies between the token's times, give or take the leeway; `exp` is required.

    Raises:
        TokenRefused: it is expired, not valid yet, or a time is no number.
    """
    seconds = now.timestamp()
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise TokenRefused("The token has no expiry (exp).")
    if seconds >= expires + leeway_s:
        raise TokenRefused("The token has expired. Request a new one right before the call.")
    if max(begins or 0, issued or 0) > seconds + leeway_s:
        raise TokenRefused("The token is not valid yet. Check the clocks of the issuer and of this machine.")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"The token's {name} is no number.")
    return value
