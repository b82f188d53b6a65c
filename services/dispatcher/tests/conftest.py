from datetime import UTC, datetime

import msgspec
import pytest

from zekt_dispatcher.delivery_events import Order, Source


@pytest.fixture
def noon() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def order() -> Order:
    return Order(
        delivery_id="0f" * 16,
        subscription_id="sub-1",
        repository_id=100,
        owner_id=10,
        run_id=4711,
        run_attempt=1,
        message_id="m" * 32,
        event_type="deployment",
        source=Source(
            repository="acme/provider",
            service_owner="acme",
            service_slug="ci-finished",
            service_alias="Acme CI",
            workflow="CI",
            conclusion="success",
        ),
        target_repository_id=200,
        target_repository="beta/consumer",
        installation_id=55,
        size_bytes=9,
        payload=msgspec.Raw(b'{"a":"b"}'),
    )
