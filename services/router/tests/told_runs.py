"""Runs as their tests tell them: facts in some order, the catalog they are judged by, and the events that follow."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from zekt_common.envelope import Event
from zekt_router.catalog_model import Account, Catalog, Mode, Repository, Service, Subscription, Workflow
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, Content, judge_content
from zekt_router.run import EVENTS_AT_ONCE, CloseWindows, Command, RecordCompletion, RecordMessage, RoutePage, decide
from zekt_router.run_events import RunRouted
from zekt_router.run_model import Completion, Message
from zekt_router.run_state import Run, evolve

Fact = Completion | Message | datetime
T0 = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER, CONSUMER = 11, 22
CONSUMERS = 2
CI = ".github/workflows/ci.yml"
EVER = T0 + timedelta(days=1)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def completion(attempt: int = 1, seconds: float = 0, **fields: Any) -> Completion:
    plain = Completion(
        received_at=at(seconds),
        repository_id=PROVIDER,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=attempt,
        workflow_path=CI,
        workflow_name="CI",
        conclusion="success",
        trigger="push",
        branch="main",
        commit_sha="c0ffee",
        head_repository_id=PROVIDER,
    )
    return replace(plain, **fields)


def failed(attempt: int = 1, seconds: float = 0) -> Completion:
    return completion(attempt, seconds, conclusion="failure")


def message(attempt: int = 1, seconds: float = 0, name: str = "m", **fields: Any) -> Message:
    plain = Message(
        message_id=name,
        received_at=at(seconds),
        repository_id=PROVIDER,
        owner_id=1,
        run_id=7,
        run_attempt=attempt,
        event_type="deployment",
        size_bytes=9,
        payload=msgspec.Raw(b'{"a": 1}'),
    )
    return replace(plain, **fields)


def subscription(number: int = 0, **fields: Any) -> Subscription:
    plain = Subscription(
        subscription_id=f"s{number:04d}",
        service_slug="ci",
        repository_id=PROVIDER,
        target_repository_id=CONSUMER + number,
        target_repository=f"beta/consumer{number}",
        target_account_id=CONSUMERS,
        status="approved",
    )
    return replace(plain, **fields)


def catalog(
    mode: Mode = "events+messages",
    *,
    version: int = 5,
    subscriptions: Iterable[Subscription] = (),
    service: dict[str, Any] | None = None,
    **workflow: Any,
) -> CatalogAt:
    allowed = {"mode": mode, "conclusions": ["success"]} | workflow
    offered = Service(slug="ci", repository_id=PROVIDER, workflow_path=CI, alias="Acme CI")
    every = list(subscriptions) or [subscription()]
    content = Catalog(
        account=Account(account_id=1, login="acme"),
        repositories={
            PROVIDER: Repository(
                repository_id=PROVIDER, repository="acme/provider", installation_id=5, enabled_as=["provider"]
            )
        },
        workflows={(PROVIDER, CI): replace(Workflow(repository_id=PROVIDER, path=CI), **allowed)},
        services={"ci": replace(offered, **(service or {}))},
        subscriptions={each.subscription_id: each for each in every},
    )
    return CatalogAt(content, version)


def consumer(number: int = 0, **fields: Any) -> Repository:
    plain = Repository(
        repository_id=CONSUMER + number,
        repository=f"beta/renamed{number}",
        installation_id=6,
        enabled_as=["consumer"],
    )
    return replace(plain, **fields)


TARGETS = {CONSUMER + number: consumer(number) for number in range(250)}


class Teller:
    """Tells a run what happens, decides and routes to the end after each, and keeps every event."""

    def __init__(
        self,
        known: CatalogAt | None = None,
        targets: Mapping[int, Repository | Blocked] | None = None,
        *,
        at_once: int = EVENTS_AT_ONCE,
    ) -> None:
        self.catalog = known or catalog()
        self.catalogs = {1: self.catalog}
        self.targets: Mapping[int, Repository | Blocked] = TARGETS if targets is None else targets
        self.run = Run()
        self.events: list[Event] = []
        self.at_once = at_once

    def tell(self, *facts: Fact, content: Content | None = None) -> "Teller":
        for fact in facts:
            while self.begin(fact, content):
                pass
        return self

    def begin(self, fact: Fact, content: Content | None = None) -> bool:
        """Decide once, as if the process died then; False if nothing is left to be decided."""
        decided = self.do(self.command(fact))
        while (item := self.run.unfinished()) is not None:
            given = self.refusals_of(content or Content({"a": 1})) if item.message_id else {}
            targets = {(CONSUMERS, number): each for number, each in self.targets.items()}
            self.do(RoutePage(item=item, catalog=self.catalog, targets=targets, content_refusals=given))
        return bool(decided)

    def refusals_of(self, content: Content) -> dict[str, Blocked]:
        services = self.catalog.catalog.services
        judged = {slug: judge_content(service, content) for slug, service in services.items()}
        return {slug: refusal for slug, refusal in judged.items() if refusal is not None}

    def command(self, fact: Fact) -> Command:
        if isinstance(fact, Completion):
            return RecordCompletion(completion=fact, catalogs=self.catalogs)
        if isinstance(fact, Message):
            return RecordMessage(message=fact, catalogs=self.catalogs)
        return CloseWindows(through=fact, catalogs=self.catalogs)

    def do(self, command: Command) -> list[Event]:
        decided = decide(self.run, command, at_once=self.at_once)
        for event in decided:
            self.run = evolve(self.run, event)
        self.events += decided
        return decided

    @property
    def pages(self) -> list[RunRouted]:
        return [event for event in self.events if isinstance(event, RunRouted)]

    @property
    def items(self) -> set[tuple[int, str | None, bool]]:
        return {(page.run_attempt, page.message_id, page.late) for page in self.pages}

    @property
    def deliveries(self) -> set[tuple[str, bool]]:
        listed = [(target.delivery_id, page.late) for page in self.pages for target in page.routed]
        assert len(listed) == len(set(listed))
        return set(listed)

    @property
    def refusals(self) -> list[str]:
        return [refused.reason for page in self.pages for refused in page.refused]

    @property
    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]
