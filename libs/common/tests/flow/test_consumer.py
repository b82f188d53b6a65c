"""What the consumer does with a handler's answer: complete, retry, give up."""

from collections.abc import Callable, Iterator

import pytest
from libs.common.tests.flow.consuming import Inbox, Noted, Start, consumer, message, publish, reasons, settled
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Sum
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope
from zekt_common.errors import StorageUnusable
from zekt_common.kit.consumer import Complete, DeadLetter, Retry, Settlement
from zekt_common.telemetry.metrics import DEAD_LETTERS, install_meter_provider


@pytest.fixture
def given_up() -> Iterator[Callable[[], dict[str, int | float]]]:
    """How many messages are reported as given up, by topic and subscription."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)

    def reported() -> dict[str, int | float]:
        data = reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        sums = [each.data for scope in scopes for each in scope.metrics if each.name == DEAD_LETTERS.name]
        points = [point for each in sums if isinstance(each, Sum) for point in each.data_points]
        return {"/".join(map(str, (point.attributes or {}).values())): point.value for point in points}

    yield reported
    install_meter_provider(None)
    provider.shutdown()


async def test_a_handled_message_is_gone(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    await publish(backend, message(1), message(2))
    assert {await inbox.next(), await inbox.next()} == {1, 2}
    await settled(consuming, "completed", 2)
    assert await consuming.backlog() == 0


async def test_a_retry_comes_again_as_the_next_attempt(backend: Backend, start: Start) -> None:
    inbox = Inbox(Retry(0.01), Retry(0.01))
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    await publish(backend, message(1))
    assert [await inbox.next() for _ in range(3)] == [1, 1, 1]
    await settled(consuming, "completed")
    assert consuming.outcomes["retried"] == 2


async def test_a_handler_gives_a_message_up_with_its_reason(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(DeadLetter("schema unknown")).handle)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["schema unknown"]


async def test_the_first_message_that_is_given_up_is_one_more_than_was_reported_before(
    backend: Backend, start: Start, given_up: Callable[[], dict[str, int | float]]
) -> None:
    """A series that begins with 1 has not grown, to Prometheus, and no alert would tell of it."""
    consuming = consumer(backend, Inbox(Complete(), DeadLetter("schema unknown")).handle, concurrency=1)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "completed")
    assert given_up() == {"ingress/router": 0}
    await publish(backend, message(2))
    await settled(consuming, "dead_lettered")
    assert given_up() == {"ingress/router": 1}


async def test_a_handler_that_raises_is_tried_again_and_logged_with_ids_but_no_payload(
    backend: Backend, start: Start
) -> None:
    inbox = Inbox(ValueError("payload 4711"))
    consuming = consumer(backend, inbox.handle)
    with capture_logs() as logs:
        start(consuming.run())
        await publish(backend, message(1))
        await inbox.next()
        await inbox.next()
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["envelope_id"], entry["attempt"]) == ("handler_failed", "notes/1@1", 1)
    assert "4711" not in str(logs)


async def test_the_last_attempt_that_fails_becomes_a_dead_letter(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(ValueError(), ValueError()).handle, max_attempts=2)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["handler failed 2 times: ValueError"]


async def test_asking_for_retries_ends_with_a_dead_letter_too(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(Retry(0), Retry(0), Retry(0)).handle, max_attempts=3)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["asked for a retry 3 times"]


async def test_an_unusable_store_uses_up_no_attempt(backend: Backend, start: Start) -> None:
    inbox = Inbox(StorageUnusable("disk full"))
    consuming = consumer(backend, inbox.handle, max_attempts=1)
    start(consuming.run())
    await publish(backend, message(1))
    await inbox.next()
    await inbox.next()
    await settled(consuming, "completed")
    assert await reasons(backend) == []


async def test_poison_does_not_hold_up_what_comes_after_it(backend: Backend, start: Start) -> None:
    done: list[int] = []

    async def half_bad(event: Noted, _: Envelope) -> Settlement:
        if event.n % 2:
            raise ValueError(event.n)
        done.append(event.n)
        return Complete()

    consuming = consumer(backend, half_bad, concurrency=4)
    start(consuming.run())
    await publish(backend, *(message(n) for n in range(60)))
    await settled(consuming, "completed", 30)
    assert sorted(done) == list(range(0, 60, 2))
