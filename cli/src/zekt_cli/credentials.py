"""What a command shows the suite: its operator token on the suite's own machine, else the session of `zekt login`.

`ZEKT_TOKEN` comes before both: an access token of Entra ID, whose role makes operators.
"""

import base64
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from zekt_cli.client import HttpClient
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import SuiteAddress
from zekt_common.kit.settings import is_loopback_url, is_secure_url

RENEW_BEFORE_S: Final = 20 * 60
TOKEN: Final = "ZEKT_TOKEN"  # noqa: S105 - a variable's name
_OK: Final = 200


class _Claims(msgspec.Struct):
    exp: float


class _Renewed(msgspec.Struct):
    token: str


def with_credential(
    address: SuiteAddress,
    file: SessionFile,
    *,
    env: Mapping[str, str] = os.environ,
    now: Callable[[], float] = time.time,
) -> SuiteAddress:
    """Return the address with the token to send there; the operator token goes nowhere but to this machine.

    A session is the suite's, whose URL it was begun at: it goes to services at URLs of their own, too.

    Raises:
        CommandFailed: 2 when a token would travel in the open; the file of sessions cannot be used, or the suite cannot
            be reached to renew one.
    """
    urls = [each for each in (address.url, *address.services.values()) if each]
    given = env.get(TOKEN, "").strip()
    if not given and address.token is not None and all(map(is_loopback_url, urls)):
        return address
    token = given or session(address.url, file, now=now)
    open_ones = [url for url in urls if not is_secure_url(url)]
    if token and open_ones:
        raise CommandFailed(Exit.USAGE, f"no token travels to {', '.join(open_ones)}: use https, or http on loopback")
    return dataclasses.replace(address, token=token)


def session(url: str, file: SessionFile, *, now: Callable[[], float] = time.time) -> str | None:
    """Return the kept session for this suite, renewed if it ends soon; None when there is none.

    Raises:
        CommandFailed: see `with_credential`.
    """
    token = file.find(url)
    if token is None or not 0 < _ends_at(token) - now() < RENEW_BEFORE_S:
        return token
    answer = HttpClient(url, headers={"Authorization": f"Bearer {token}"}).request("POST", "/auth/renew")
    if answer.status != _OK:  # it has ended meanwhile: the command itself will be told so
        return token
    renewed = answer.decoded(_Renewed).token
    file.keep(url, renewed)
    return renewed


def _ends_at(token: str) -> float:
    """Return when the token says that it ends, in Unix seconds; 0 when it says nothing that can be read."""
    try:
        payload = token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).exp
    except (IndexError, ValueError, msgspec.DecodeError):
        return 0.0
