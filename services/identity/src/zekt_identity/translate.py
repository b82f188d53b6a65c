"""From identity's stored events to what it publishes: the App's installations and repositories, in full."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zekt_common.contracts import identity as contract
from zekt_common.envelope import Envelope, Event, republish
from zekt_common.ports import OutgoingMessage
from zekt_identity.installation import INSTALLATION_SCHEMAS, InstallationObserved
from zekt_identity.ledger import SOURCE
from zekt_identity.repository import REPOSITORY_SCHEMAS, RepositoryObserved

TOPIC: Final = "identity"
DISPATCHER: Final = "dispatcher"


def translate(envelope: Envelope) -> Sequence[OutgoingMessage]:
    """Return what others hear of a stored event; nothing of people."""
    match envelope.type:
        case InstallationObserved.TYPE:
            observed = INSTALLATION_SCHEMAS.decode(envelope)
            if isinstance(observed, InstallationObserved):
                return _told(envelope, contract.InstallationChanged(**msgspec.structs.asdict(observed.facts)))
        case RepositoryObserved.TYPE:
            seen = REPOSITORY_SCHEMAS.decode(envelope)
            if isinstance(seen, RepositoryObserved):
                return _told(envelope, contract.RepositoryChanged(**msgspec.structs.asdict(seen.facts)))
    return []


def _told(stored: Envelope, body: Event) -> list[OutgoingMessage]:
    return [OutgoingMessage(envelope=republish(stored, body, source=SOURCE), to=DISPATCHER)]
