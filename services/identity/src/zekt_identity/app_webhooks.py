"""What identity does with the App's webhooks: what stops deliveries counts at once, then GitHub is asked."""

from typing import Final

import msgspec
import structlog

from zekt_common.contracts.ingress import AppWebhookReceived
from zekt_common.envelope import Envelope
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.kit.settlement import Complete, DeadLetter, Retry, Settlement
from zekt_common.ports import Payloads
from zekt_identity.account import Order
from zekt_identity.accounts import Accounts
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.installation import GITHUB, InstallationFacts
from zekt_identity.installations import Installations

ASK_AGAIN_S: Final = 30.0
_STOPS: Final = {"suspend": "suspended", "deleted": "removed"}

log = structlog.get_logger()


class _Identified(msgspec.Struct):
    id: int


class _Account(msgspec.Struct):
    """A user or an organisation; an enterprise, which has no repositories, has a slug and no login."""

    id: int
    login: str = ""


class _Installation(msgspec.Struct):
    id: int
    account: _Account | None = None


class _Body(msgspec.Struct):
    """The fields of the App's webhooks that matter; which are there depends on the event."""

    sender: _Identified
    installation: _Installation | None = None
    repository: _Identified | None = None
    repositories_removed: list[_Identified] = []


class AppWebhooks:
    """Handles the messages; each any number of times, in any order."""

    def __init__(self, payloads: Payloads, installations: Installations, accounts: Accounts) -> None:
        self._payloads = payloads
        self._installations = installations
        self._accounts = accounts

    async def received(self, message: AppWebhookReceived, _cause: Envelope) -> Settlement:
        """Take what the webhook says, and ask GitHub what is so now."""
        try:
            content = await self._payloads.get(message.payload_ref.account_id, message.payload_ref.sha256)
            body = msgspec.json.decode(content, type=_Body)
        except (PayloadNotFound, KeyDestroyed):
            return Complete()  # expired or erased since: GitHub is asked anyway, and sessions from before are over
        except msgspec.DecodeError:
            return DeadLetter("the webhook's body has another shape than GitHub documents")
        if message.event == "github_app_authorization":
            return await self._authorization_revoked(message, body.sender)
        if body.installation is None:
            return Complete()
        await self._stop(message, body, body.installation)
        return await self._ask(body.installation.id)

    async def _stop(self, message: AppWebhookReceived, body: _Body, installation: _Installation) -> None:
        """Have deliveries stop before GitHub is asked, which may take its time."""
        status, account = _STOPS.get(message.action or ""), installation.account
        if message.event == "installation" and status is not None and account is not None and account.login:
            facts = msgspec.convert(
                {
                    "installation_id": installation.id,
                    "account_id": account.id,
                    "login": account.login,
                    "status": status,
                },
                InstallationFacts,
            )
            await self._installations.observe(facts, message.received_at)
        removed = [repository.id for repository in body.repositories_removed]
        if message.event == "repository" and message.action == "deleted" and body.repository is not None:
            removed.append(body.repository.id)
        for repository_id in removed:
            await self._installations.withdraw(repository_id, installation.id, message.received_at)

    async def _ask(self, installation_id: int) -> Settlement:
        try:
            await self._installations.refresh(installation_id)
        except GitHubUnavailable as error:
            return Retry(error.pause_s or ASK_AGAIN_S)
        except GitHubRefused as error:
            log.warning("installation_not_refreshed", installation_id=installation_id, reason=error.code)
        return Complete()

    async def _authorization_revoked(self, message: AppWebhookReceived, sender: _Identified) -> Settlement:
        if message.action == "revoked":
            order = Order(account_id=sender.id, actor=GITHUB, origin=GITHUB, at=message.received_at)
            await self._accounts.revoked(order)
        return Complete()
