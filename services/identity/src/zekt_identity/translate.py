"""From identity's stored events to what it publishes, in full: the App's installations and repositories, and accounts.

Of people others hear what their account may do, and nothing that is personal.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from zekt_common.contracts import identity as contract
from zekt_common.envelope import Envelope, Event, republish
from zekt_common.ports import OutgoingMessage
from zekt_common.ports.bus import EVERYONE
from zekt_common.schemas import Schemas
from zekt_identity.account import ACCOUNT_SCHEMAS, AccountLeft, AccountOpened, SkuGiven, TermsChanged
from zekt_identity.installation import INSTALLATION_SCHEMAS, InstallationObserved
from zekt_identity.ledger import SOURCE
from zekt_identity.repository import REPOSITORY_SCHEMAS, RepositoryObserved

TOPIC: Final = "identity"
ROUTER: Final = "router"
_SCHEMAS: Final = Schemas([*ACCOUNT_SCHEMAS, *INSTALLATION_SCHEMAS, *REPOSITORY_SCHEMAS])


def translate(envelope: Envelope) -> Sequence[OutgoingMessage]:
    """Return what others hear of a stored event."""
    if envelope.type not in _SCHEMAS:
        return []
    event = _SCHEMAS.decode(envelope)
    if type(event) not in _TOLD:
        return []
    to, make = _TOLD[type(event)]
    message = make(event)
    return [] if message is None else [OutgoingMessage(envelope=republish(envelope, message, source=SOURCE), to=to)]


def _installation(event: InstallationObserved) -> Event:
    return contract.InstallationChanged(**msgspec.structs.asdict(event.facts))


def _repository(event: RepositoryObserved) -> Event:
    return contract.RepositoryChanged(**msgspec.structs.asdict(event.facts))


def _open(event: AccountOpened | TermsChanged | SkuGiven) -> Event | None:
    if event.persona is None:
        return None  # it is not open yet
    return contract.AccountChanged(
        account_id=event.account_id, status="open", persona=event.persona.value, sku=event.sku.value
    )


def _left(event: AccountLeft) -> Event:
    return contract.AccountChanged(account_id=event.account_id, status="left", persona=None, sku=None)


_TOLD: Final[dict[type[Event], tuple[str, Callable[[Any], Event | None]]]] = {
    InstallationObserved: (EVERYONE, _installation),
    RepositoryObserved: (EVERYONE, _repository),
    AccountOpened: (ROUTER, _open),
    TermsChanged: (ROUTER, _open),
    SkuGiven: (ROUTER, _open),
    AccountLeft: (ROUTER, _left),
}
