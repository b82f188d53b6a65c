"""What a command shows the suite: its operator token on the suite's own machine, else the session of `zekt login`."""

import base64
import dataclasses
import ipaddress
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from zekt_cli.client import HttpClient
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import SuiteAddress

RENEW_BEFORE_S: Final = 20 * 60
_OK: Final = 200


class _Claims(msgspec.Struct):
    exp: float


class _Renewed(msgspec.Struct):
    token: str


def with_credential(address: SuiteAddress, file: SessionFile, *, now: Callable[[], float] = time.time) -> SuiteAddress:
    """Return the address with the token to send there; the operator token goes nowhere but to this machine.

    Raises:
        CommandFailed: the file of sessions cannot be used, or the suite cannot be reached to renew one.
    """
    if address.token is not None and _is_loopback(address.url):
        return address
    return dataclasses.replace(address, token=session(address.url, file, now=now))


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


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
