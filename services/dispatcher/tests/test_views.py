"""Whatever happens to a delivery, it is in the list of its status alone, and its timer is the only one."""

from datetime import datetime, timedelta

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.dispatcher.tests.strategies import DEADLINE, NOON, POLICY, commands
from zekt_common.envelope import Event, NewEvent, seal
from zekt_common.kit.sweeper import PARTITION as DUE
from zekt_common.kit.sweeper import due
from zekt_common.ports import PayloadRef, Put
from zekt_dispatcher.delivery import decide, stream_of
from zekt_dispatcher.delivery_commands import BeginAttempt, Request
from zekt_dispatcher.delivery_events import DeliveryReplayed, Order
from zekt_dispatcher.delivery_state import Delivery, evolve
from zekt_dispatcher.views import DELIVERIES, PayloadGrant, by_payload, by_status, by_target, project


class Pages:
    """Views in a dictionary: what the changes leave behind, by partition and id."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], bytes] = {}
        self.lives_s: set[int | None] = set()
        self.version = 0

    def see(self, event: Event, now: datetime = NOON) -> None:
        self.version += 1
        new = NewEvent(body=event, source="zekt/dispatcher", subject="1/2", correlationid="1/2", causationid="x")
        envelope = seal(new, stream="delivery/x", version=self.version, commitid="c" * 16, time=NOON)
        for change in project(envelope, now):
            if isinstance(change, Put):
                self.lives_s.add(change.ttl_s)
                self.documents[change.partition, change.id] = change.body
            else:
                self.documents.pop((change.partition, change.id), None)

    def ids(self, partition: str) -> set[str]:
        return {id_ for found, id_ in self.documents if found == partition}

    def statuses(self) -> list[str]:
        prefix = f"{DELIVERIES}/"
        return [found.removeprefix(prefix) for found, _ in self.documents if found.startswith(prefix)]


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_delivery_is_listed_once_under_its_status_and_has_one_timer(order: Order, data: st.DataObject) -> None:
    state, pages, replays = Delivery(), Pages(), set[str]()
    first = Request(order=order, at=NOON, event_time=NOON, then=BeginAttempt(at=NOON, deadline=NOON + DEADLINE))
    for command in [first, *data.draw(st.lists(commands(order), max_size=20))]:
        for event in decide(POLICY, state, command):
            pages.see(event)
            state = evolve(state, event)
            if isinstance(event, DeliveryReplayed):
                replays.add(due(stream_of(order.delivery_id), event.due_at).id)
        assert pages.statuses() == [state.status.value]
        timer = {due(stream_of(order.delivery_id), state.due_at).id} if state.due_at else set()
        assert pages.ids(DUE) - replays == timer - replays
        assert len(pages.ids(DELIVERIES)) == 1


def test_a_target_can_fetch_what_its_deliveries_refer_to(order: Order) -> None:
    expires_at = NOON + timedelta(days=90)
    reference = PayloadRef(account_id=10, sha256="ab" * 32, size_bytes=9, expires_at=expires_at)
    referring = msgspec.structs.replace(order, payload=None, payload_ref=reference)
    pages = Pages()
    for event in decide(POLICY, Delivery(), Request(order=referring, at=NOON, event_time=NOON)):
        pages.see(event)
    body = pages.documents[by_payload(200), f"{'ab' * 32}:10"]
    assert msgspec.json.decode(body, type=PayloadGrant) == PayloadGrant(account_id=10, expires_at=expires_at)


def test_a_delivery_is_found_by_its_target_and_correlation_id(order: Order) -> None:
    pages = Pages()
    for event in decide(POLICY, Delivery(), Request(order=order, at=NOON, event_time=NOON)):
        pages.see(event)
    assert pages.ids(by_target(200, "4711")) == pages.ids(DELIVERIES) == pages.ids(by_status("pending"))


def test_what_lists_a_delivery_lives_for_396_days_from_its_request_and_a_grant_as_long_as_its_payload(
    order: Order,
) -> None:
    reference = PayloadRef(account_id=10, sha256="ab" * 32, size_bytes=9, expires_at=NOON + timedelta(days=90))
    referring = msgspec.structs.replace(order, payload=None, payload_ref=reference)
    (requested,) = decide(POLICY, Delivery(), Request(order=referring, at=NOON, event_time=NOON))
    day_s = 24 * 3600
    fresh, rebuilt, after = Pages(), Pages(), Pages()
    fresh.see(requested)
    assert fresh.lives_s == {None, 396 * day_s, 90 * day_s}, "the timer has no end of its own"
    rebuilt.see(requested, NOON + timedelta(days=300))
    assert rebuilt.lives_s == {None, 96 * day_s}
    after.see(requested, NOON + timedelta(days=396))
    assert set(after.documents) == {(DUE, due(stream_of(order.delivery_id), NOON).id)}
