"""What others hear of identity's stored events."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from zekt_common.contracts import identity as contract
from zekt_common.envelope import Event, seal
from zekt_common.ports import OutgoingMessage
from zekt_identity.account import (
    AccountChanged,
    AccountLeft,
    AccountOpened,
    PersonLinked,
    SessionsRevoked,
    SkuGiven,
    TermsChanged,
)
from zekt_identity.account_terms import Kind, Persona, Sku
from zekt_identity.installation import InstallationFacts, InstallationObserved
from zekt_identity.ledger import wrap
from zekt_identity.repository import RepositoryFacts, RepositoryObserved
from zekt_identity.translate import translate

AT = datetime(2026, 5, 1, tzinfo=UTC)
BY: dict[str, Any] = {"account_id": 4_242, "actor": "4242", "origin": "203.0.113.0/24", "at": AT}
INSTALLATION = InstallationFacts(installation_id=72, account_id=2, login="beta", status="active")
REPOSITORY = RepositoryFacts(
    repository_id=22, repository="beta/consumer", account_id=2, installation_id=72, archived=False, status="covered"
)


def heard(event: Event) -> list[OutgoingMessage]:
    stream = "account/4242"
    return list(translate(seal(wrap(stream, [event])[0], stream=stream, version=3, commitid="c" * 16, time=AT)))


@pytest.mark.parametrize(
    ("stored", "to", "told"),
    [
        (
            AccountOpened(**BY, persona=Persona.PROVIDER, sku=Sku.FREE, kind=Kind.COMPANY, contact=b"sealed"),
            "router",
            contract.AccountChanged(account_id=4_242, status="open", persona="provider", sku="free"),
        ),
        (
            TermsChanged(**BY, persona=Persona.BOTH, sku=Sku.STANDARD),
            "router",
            contract.AccountChanged(account_id=4_242, status="open", persona="both", sku="standard"),
        ),
        (
            SkuGiven(**BY, persona=Persona.CONSUMER, sku=Sku.ENTERPRISE),
            "router",
            contract.AccountChanged(account_id=4_242, status="open", persona="consumer", sku="enterprise"),
        ),
        (
            AccountLeft(**BY, key=-1),
            "router",
            contract.AccountChanged(account_id=4_242, status="left", persona=None, sku=None),
        ),
        (
            InstallationObserved(**BY, facts=INSTALLATION),
            "*",
            contract.InstallationChanged(installation_id=72, account_id=2, login="beta", status="active"),
        ),
        (
            RepositoryObserved(**BY, facts=REPOSITORY, moved_from=None),
            "*",
            contract.RepositoryChanged(
                repository_id=22,
                repository="beta/consumer",
                account_id=2,
                installation_id=72,
                archived=False,
                status="covered",
            ),
        ),
    ],
)
def test_others_hear_the_full_state_and_nothing_personal(stored: Event, to: str, told: Event) -> None:
    [message] = heard(stored)
    assert (message.to, message.envelope.version) == (to, 3)
    assert msgspec.json.decode(message.envelope.data, type=type(told)) == told
    assert b"sealed" not in bytes(message.envelope.data)


@pytest.mark.parametrize(
    "stored",
    [
        PersonLinked(**BY, tenure=1, key=-1),
        AccountChanged(**BY, kind=Kind.COMPANY, contact=b"sealed"),
        SessionsRevoked(**BY, reason="signed out everywhere"),
    ],
)
def test_what_concerns_only_the_person_stays_here(stored: Event) -> None:
    assert heard(stored) == []
