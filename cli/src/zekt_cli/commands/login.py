"""`zekt login`: a session of the person at the keyboard, by GitHub's device flow."""

import time
from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from zekt_cli import options
from zekt_cli.client import Answer, HttpClient, refused
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.output import print_json
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import locate
from zekt_common.kit.settings import is_secure_url

SLOWER_BY_S: Final = 5
_OK, _NOT_YET, _FORBIDDEN, _TOO_MANY, _UNAVAILABLE = 200, 202, 403, 429, 503
_CODES: Final = {"sign_in_expired": Exit.TIMED_OUT}


class Begun(msgspec.Struct, frozen=True, rename="camel"):
    """What to show, and what to ask with."""

    user_code: str
    verification_url: str
    expires_in_s: int
    interval_s: int
    note: str


class SignedIn(msgspec.Struct, frozen=True, rename="camel"):
    """Who has signed in, and the session's token, which the repr never shows."""

    account_id: int
    token: str

    def __repr__(self) -> str:
        return f"SignedIn(account_id={self.account_id})"


@click.command("login")
@options.suite_options
def command(*, as_json: bool, **suite: Any) -> None:
    """Sign in with GitHub: type a code in at GitHub, and get a session of the suite for an hour.

    With it `zekt apply` changes what your own account has, and operators do everything. Commands renew it as they go,
    for twelve hours at most.
    """
    url, file = locate(**suite).url, SessionFile.of_user()
    if not is_secure_url(url):
        raise CommandFailed(Exit.USAGE, f"a session does not travel to {url}: use https, or http on loopback")
    account_id = _signed_in_already(url, file)
    if account_id is None:
        account_id = _sign_in(HttpClient(url), file)
    if as_json:
        print_json({"url": url, "accountId": account_id})
    else:
        click.echo(f"Signed in to {url} as GitHub user {account_id}")


def await_session(client: HttpClient, begun: Begun, *, sleep: Callable[[float], None] = time.sleep) -> SignedIn:
    """Ask as often as GitHub allows until the person has said yes.

    Raises:
        CommandFailed: 4 when that took too long, 5 when they said no, otherwise as `HttpClient`.
    """
    interval_s, waited_s = max(begun.interval_s, 1), 0
    while waited_s < begun.expires_in_s:
        sleep(interval_s)
        waited_s += interval_s
        answer = client.request("POST", "/auth/device/poll", body={"note": begun.note})
        if answer.status == _TOO_MANY or (answer.status == _NOT_YET and answer.body == {"status": "slow_down"}):
            interval_s += SLOWER_BY_S
        elif answer.status not in (_NOT_YET, _UNAVAILABLE):
            return _session(answer)
    raise CommandFailed(Exit.TIMED_OUT, "the code was not typed in at GitHub in time: run `zekt login` again")


def _signed_in_already(url: str, file: SessionFile) -> int | None:
    """Return whose session is kept for the suite, None if none is or it works no more."""
    token = file.find(url)
    if token is None:
        return None
    answer = HttpClient(url, headers={"Authorization": f"Bearer {token}"}).request("GET", "/api/account")
    account_id: int | None = answer.body["accountId"] if answer.status == _OK else None
    return account_id


def _sign_in(client: HttpClient, file: SessionFile) -> int:
    begun = client.request("POST", "/auth/device").decoded(Begun)
    click.echo(f"Type {begun.user_code} in at {begun.verification_url}", err=True)
    signed_in = await_session(client, begun)
    file.keep(client.url, signed_in.token)
    return signed_in.account_id


def _session(answer: Answer) -> SignedIn:
    if answer.status != _FORBIDDEN:
        return answer.decoded(SignedIn)
    told = answer.body if isinstance(answer.body, dict) else {}
    code = _CODES.get(str(told.get("error")), Exit.REFUSED)
    raise CommandFailed(code, str(told.get("detail") or refused(answer).message))
