"""What every event of identity says, so that one view can tell an account's owner who did what, when, from where."""

from datetime import datetime

from zekt_common.envelope import Event


class IdentityEvent(Event, frozen=True, kw_only=True):
    """`actor` is a GitHub id, a service's name or `github`; `origin` the caller's network, never a whole address."""

    account_id: int
    actor: str
    origin: str
    at: datetime
