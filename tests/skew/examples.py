"""One message of every published contract, and its golden file: the envelope as a service sends it.

Run as a script (`python -m tests.skew.examples`), this writes the files that are missing; one that exists is never
written again.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from zekt_common.contracts import identity, ingress, router
from zekt_common.envelope import Envelope, Event, NewEvent, encode, seal
from zekt_common.ports import PayloadRef

GOLDEN: Final = Path(__file__).parents[1] / "golden"
_AT: Final = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
_STORED: Final = PayloadRef(account_id=1, sha256="ab" * 32, size_bytes=40_000, expires_at=_AT)
_ID: Final = "0123456789abcdef0123456789abcdef"

EXAMPLES: Final[tuple[Event, ...]] = (
    ingress.RunCompleted(
        received_at=_AT,
        repository_id=11,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=2,
        workflow_path=".github/workflows/ci.yml",
        workflow_name="CI",
        conclusion="success",
        trigger="push",
        branch="main",
        commit_sha="c0ffee",
        head_repository_id=11,
        installation_id=5,
    ),
    ingress.MessageReceived(
        received_at=_AT,
        message_id=_ID,
        repository_id=11,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=2,
        workflow_path=".github/workflows/ci.yml",
        event_type="deployment",
        size_bytes=17,
        payload=msgspec.Raw(b'{"version":"1.2"}'),
    ),
    ingress.AppWebhookReceived(received_at=_AT, event="installation", action="suspend", payload_ref=_STORED),
    ingress.Watermark(through=_AT),
    identity.InstallationChanged(installation_id=5, account_id=1, login="acme", status="active"),
    identity.RepositoryChanged(
        repository_id=11,
        repository="acme/provider",
        account_id=1,
        installation_id=5,
        archived=False,
        status="covered",
    ),
    identity.AccountChanged(account_id=1, status="open", persona="both", sku="standard"),
    router.RepositoryChanged(
        repository_id=11,
        repository="acme/provider",
        account_id=1,
        installation_id=5,
        enabled_as=["provider"],
        removed=True,
    ),
    router.ServiceChanged(
        repository_id=11,
        slug="ci-finished",
        workflow_path=".github/workflows/ci.yml",
        event_types=["deployment"],
    ),
    router.SubscriptionChanged(
        subscription_id=_ID,
        repository_id=11,
        service_slug="ci-finished",
        target_repository_id=22,
        event_types=["deployment"],
        status="approved",
    ),
    router.CatalogAdvanced(),
    router.DeliveryRequested(
        delivery_id="a1b2c3d4e5f60718293a4b5c6d7e8f90",
        subscription_id=_ID,
        repository_id=11,
        owner_id=1,
        run_id=7,
        run_attempt=2,
        message_id=_ID,
        event_type="deployment",
        origin=router.Origin(
            repository="acme/provider",
            service_owner="acme",
            service_slug="ci-finished",
            service_alias="Acme CI",
            workflow="CI",
            conclusion="success",
        ),
        target_repository_id=22,
        target_repository="beta/consumer",
        installation_id=6,
        late=True,
        size_bytes=40_000,
        payload_ref=_STORED,
    ),
)


def golden_file(event: Event | type[Event]) -> Path:
    """Return where the golden file of the contract's schema version lies."""
    return GOLDEN / f"{event.TYPE}.v{event.SCHEMA_VERSION}.json"


def sealed(body: Event) -> Envelope:
    """Return the message as a relay publishes it."""
    event = NewEvent(
        body=body,
        source="zekt/example",
        subject="11/7",
        correlationid="11/7",
        causationid="webhook/42/d0b2c3a4-0000-4000-8000-000000000000@1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        accountid="1",
    )
    return seal(event, stream="run/11/7", version=3, commitid="0011223344556677", time=_AT)


if __name__ == "__main__":
    for example in EXAMPLES:
        if not golden_file(example).exists():
            golden_file(example).write_bytes(msgspec.json.format(encode(sealed(example))) + b"\n")
