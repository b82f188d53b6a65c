"""The picture of the App's installations: by webhook at once, by reconciliation whatever was missed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.ports import free_port
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import utc_now
from zekt_common.contracts.identity import InstallationChanged, InstallationTokenRequest, RepositoryChanged
from zekt_common.contracts.ingress import AppWebhookReceived
from zekt_common.envelope import NewEvent, decode, seal
from zekt_common.kit.identity_client import TokensRefused
from zekt_common.ports import OutgoingMessage
from zekt_identity.account import SessionsRevoked
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.model import HookDelivery

from .conftest import Running, identity_at, until

Told = dict[int, Any]


class Dispatcher:
    """What the dispatcher hears of installations and repositories: the newest state of each."""

    def __init__(self, identity: Running) -> None:
        self._identity = identity
        self.installations: Told = {}
        self.repositories: Told = {}

    async def until(self, condition: Callable[["Dispatcher"], bool]) -> None:
        async with asyncio.timeout(60), open_backend(self._identity.data_dir, "dispatcher") as backend:
            receiver = backend.bus.subscribe("identity", "dispatcher")
            while not condition(self):
                for message in await receiver.receive(1, timeout_s=0.1):  # one by one: a state may last for one message
                    self._take(message.body)
                    await receiver.complete(message)

    def _take(self, body: bytes) -> None:
        envelope = decode(body)
        if envelope.type == InstallationChanged.TYPE:
            installation = msgspec.json.decode(envelope.data, type=InstallationChanged)
            self.installations[installation.installation_id] = installation
        else:
            repository = msgspec.json.decode(envelope.data, type=RepositoryChanged)
            self.repositories[repository.repository_id] = repository


async def hand_over(identity: Running, deliveries: list[HookDelivery], *, received_at: datetime | None = None) -> None:
    """Give identity the webhooks as ingress does: the body in the payloads, the rest on the topic."""
    async with open_backend(identity.data_dir, "ingress") as backend:
        for delivery in deliveries:
            body = delivery.body
            reference = await backend.payloads.put(0, body)
            message = AppWebhookReceived(
                received_at=received_at or utc_now(),
                event=delivery.event,
                action=msgspec.json.decode(body)["action"],
                payload_ref=reference,
            )
            stream = f"webhook/1/{delivery.guid}"
            event = NewEvent(body=message, source="zekt/ingress", subject="x", correlationid="x", causationid="x")
            envelope = seal(event, stream=stream, version=1, commitid="c" * 16, time=utc_now())
            await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope, to="identity")])


async def is_refused(identity: Running, request: InstallationTokenRequest, code: str | None = None) -> bool:
    """Tell whether identity gives no token any more: it knows of a loss once its own view does."""
    try:
        await identity.client.token(request)
    except TokensRefused as error:
        return code in {None, error.code}
    return False


async def is_given_from_the_cache(identity: Running, request: InstallationTokenRequest) -> bool:
    return await identity.client.token(request) == await identity.client.token(request)


@pytest.fixture(autouse=True)
def telling(sandbox: GitHubSandbox) -> None:
    """Have the stand-in write webhooks, which the tests hand over themselves: nobody listens there."""
    sandbox.webhook_url = f"http://127.0.0.1:{free_port()}/webhooks/github"


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with identity_at(sandbox, tmp_path, clock=utc_now, reconcile_after_s=0.0) as running:
        await running.hosted.until_ready()
        yield running


@pytest.fixture
async def dispatcher(identity: Running, sandbox: GitHubSandbox) -> Dispatcher:
    hearing = Dispatcher(identity)
    await hearing.until(lambda heard: 72 in heard.installations and consumer(sandbox) in heard.repositories)
    return hearing


def consumer(sandbox: GitHubSandbox) -> int:
    return sandbox.update_repository("beta/consumer").id


async def test_at_start_github_is_asked_about_every_installation(
    dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    assert dispatcher.installations[72].status == "active"
    assert dispatcher.installations[72].login == "beta"
    repository = dispatcher.repositories[consumer(sandbox)]
    assert (repository.repository, repository.installation_id, repository.status) == ("beta/consumer", 72, "covered")
    assert list(dispatcher.repositories) == [consumer(sandbox)]


async def test_a_suspension_counts_at_once_though_github_does_not_answer(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    sandbox.add_fault("error", path="/app/installations/*", count=None, status=503)
    await hand_over(identity, await sandbox.suspend_installation(72))
    await dispatcher.until(lambda heard: heard.installations[72].status == "suspended")


async def test_a_suspension_that_is_over_is_learnt_in_whatever_order_the_webhooks_come(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    suspended = await sandbox.suspend_installation(72)
    resumed = await sandbox.unsuspend_installation(72)
    await hand_over(identity, [*resumed, *suspended])
    await dispatcher.until(lambda heard: heard.installations[72].status == "suspended")
    await dispatcher.until(lambda heard: heard.installations[72].status == "active")


async def test_an_app_that_was_uninstalled_withdraws_its_repositories(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    await hand_over(identity, await sandbox.uninstall(72))
    await dispatcher.until(lambda heard: heard.installations[72].status == "removed")
    await dispatcher.until(lambda heard: heard.repositories[consumer(sandbox)].status == "withdrawn")


async def test_repositories_come_and_go_with_the_selection(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    await hand_over(identity, await sandbox.select_repositories(72, ["beta/other"]))
    other = sandbox.update_repository("beta/other").id
    await dispatcher.until(lambda heard: other in heard.repositories)
    await dispatcher.until(lambda heard: heard.repositories[consumer(sandbox)].status == "withdrawn")


async def test_a_repository_keeps_its_id_under_another_name(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    known = consumer(sandbox)
    await hand_over(identity, await sandbox.rename_repository("beta/consumer", "customer"))
    await dispatcher.until(lambda heard: heard.repositories[known].repository == "beta/customer")
    await hand_over(identity, await sandbox.archive_repository("beta/customer"))
    await dispatcher.until(lambda heard: heard.repositories[known].archived)


async def test_a_repository_that_is_archived_and_made_writable_again_is_so_here(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    known = consumer(sandbox)
    await hand_over(identity, await sandbox.archive_repository("beta/consumer"))
    await dispatcher.until(lambda heard: heard.repositories[known].archived)
    await hand_over(identity, await sandbox.unarchive_repository("beta/consumer"))
    await dispatcher.until(lambda heard: not heard.repositories[known].archived)


async def test_a_repository_that_changes_hands_is_the_new_owners(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    known, acme = consumer(sandbox), sandbox.create_installation("acme", id=73).account.id
    await hand_over(identity, await sandbox.transfer_repository("beta/consumer", "acme"))
    await dispatcher.until(lambda heard: heard.repositories[known].installation_id == 73)
    moved = dispatcher.repositories[known]
    assert (moved.repository, moved.account_id, moved.status) == ("acme/consumer", acme, "covered")


async def test_a_repository_that_goes_where_the_app_is_not_is_withdrawn(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    known = consumer(sandbox)
    sandbox.create_organization("elsewhere")
    await hand_over(identity, await sandbox.transfer_repository("beta/consumer", "elsewhere"))
    await dispatcher.until(lambda heard: heard.repositories[known].status == "withdrawn")


async def test_a_deleted_repository_is_withdrawn(
    identity: Running, dispatcher: Dispatcher, sandbox: GitHubSandbox
) -> None:
    known = consumer(sandbox)
    await hand_over(identity, await sandbox.delete_repository("beta/consumer"))
    await dispatcher.until(lambda heard: heard.repositories[known].status == "withdrawn")


async def test_what_no_webhook_told_is_healed_at_the_next_start(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    known = consumer(sandbox)
    async with identity_at(sandbox, tmp_path, clock=utc_now, reconcile_after_s=0.0) as running:
        await Dispatcher(running).until(lambda heard: known in heard.repositories)
    await sandbox.suspend_installation(72)
    sandbox.create_installation("acme", id=73)
    async with identity_at(sandbox, tmp_path, clock=utc_now, reconcile_after_s=0.0) as running:
        heard = Dispatcher(running)
        await heard.until(lambda heard: 73 in heard.installations and heard.installations[72].status == "suspended")


async def test_what_no_webhook_told_is_learnt_while_the_service_runs(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    known = consumer(sandbox)
    async with identity_at(sandbox, tmp_path, clock=utc_now, reconcile_after_s=0.0, reconcile_every_s=0.05) as running:
        heard = Dispatcher(running)
        await heard.until(lambda heard: known in heard.repositories)
        sandbox.create_installation("acme", id=73)
        sandbox.delete_installation(72)
        await heard.until(lambda heard: 73 in heard.installations and heard.installations[72].status == "removed")
        await heard.until(lambda heard: heard.repositories[known].status == "withdrawn")


async def test_an_enterprise_that_has_the_app_hides_no_other_installation(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    sandbox.create_enterprise("octo-corp")
    enterprise = sandbox.create_installation("octo-corp", id=71)
    sandbox.create_installation("acme", id=73)
    async with identity_at(sandbox, tmp_path, clock=utc_now, reconcile_after_s=0.0) as running:
        heard = Dispatcher(running)
        await heard.until(lambda heard: {72, 73} <= heard.installations.keys())
        await hand_over(running, [*await sandbox.suspend_installation(71), *await sandbox.suspend_installation(72)])
        await heard.until(lambda heard: heard.installations[72].status == "suspended")
        assert enterprise.id not in heard.installations
        async with open_backend(running.data_dir, "identity") as backend:
            assert await backend.bus.dead_letters("ingress", "identity") == []


@pytest.mark.usefixtures("dispatcher")
async def test_tokens_of_a_suspended_installation_are_not_given_from_the_cache(
    identity: Running, sandbox: GitHubSandbox
) -> None:
    request = InstallationTokenRequest(
        repository="beta/consumer", permissions={"contents": "write"}, purpose="dispatch"
    )
    await identity.client.token(request)
    await hand_over(identity, await sandbox.suspend_installation(72))
    await until(lambda: is_refused(identity, request, "installation_suspended"))


@pytest.mark.usefixtures("dispatcher")
@pytest.mark.parametrize("by_ids", [True, False])
async def test_tokens_of_a_withdrawn_repository_are_not_given_from_the_cache(
    identity: Running, sandbox: GitHubSandbox, *, by_ids: bool
) -> None:
    id_ = consumer(sandbox)
    named: dict[str, Any] = (
        {"installation_id": 72, "repository_ids": [id_]} if by_ids else {"repository": "beta/consumer"}
    )
    request = InstallationTokenRequest(**named, permissions={"contents": "write"}, purpose="dispatch")
    first = await identity.client.token(request)
    assert await identity.client.token(request) == first
    await hand_over(identity, await sandbox.select_repositories(72, ["beta/other"]))
    await until(lambda: is_refused(identity, request))
    await hand_over(identity, await sandbox.select_repositories(72, ["beta/consumer"]))
    await until(lambda: is_given_from_the_cache(identity, request))
    assert (await identity.client.token(request)).token != first.token


async def test_whoever_takes_back_their_authorization_is_signed_out(identity: Running, sandbox: GitHubSandbox) -> None:
    browser = identity.browser()
    await browser.sign_in()
    deliveries = await sandbox.revoke_authorization("octocat")
    await hand_over(identity, deliveries)

    async def is_signed_out() -> bool:
        return (await browser.call("GET", "/api/account")).status == 401

    await until(is_signed_out)
    [revoked] = await identity.events(SessionsRevoked)
    assert (revoked.account_id, revoked.actor) == (4_242, "github")
    async with open_backend(identity.data_dir, "identity") as backend:
        assert await backend.views.get("user-tokens", "4242") is None


async def test_a_revocation_that_is_late_leaves_a_sign_in_since_then_alone(
    identity: Running, sandbox: GitHubSandbox
) -> None:
    before, since = identity.browser(), identity.browser()
    await before.sign_in()
    deliveries, received_at = await sandbox.revoke_authorization("octocat"), utc_now()
    await since.sign_in()
    await hand_over(identity, deliveries, received_at=received_at)

    async def is_signed_out() -> bool:
        return (await before.call("GET", "/api/account")).status == 401

    await until(is_signed_out)
    assert (await since.call("GET", "/api/account")).status == 200
    async with open_backend(identity.data_dir, "identity") as backend:
        assert await backend.views.get("user-tokens", "4242") is not None


async def test_a_webhook_of_another_shape_is_set_aside(identity: Running) -> None:
    async with open_backend(identity.data_dir, "ingress") as backend:
        reference = await backend.payloads.put(0, b'{"action": 7}')
        message = AppWebhookReceived(received_at=utc_now(), event="installation", action="x", payload_ref=reference)
        event = NewEvent(body=message, source="zekt/ingress", subject="x", correlationid="x", causationid="x")
        envelope = seal(event, stream="webhook/1/odd", version=1, commitid="c" * 16, time=utc_now())
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope, to="identity")])

        async def is_set_aside() -> bool:
            return bool(await backend.bus.dead_letters("ingress", "identity"))

        await until(is_set_aside)
