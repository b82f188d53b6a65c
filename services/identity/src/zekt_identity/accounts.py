"""Accounts as people use them: known from the first sign-in, opened with contact details, and erased on leaving."""

from typing import Annotated, Final

import msgspec
import structlog

from zekt_common.errors import KeyDestroyed
from zekt_identity.account import (
    ACCOUNT,
    Account,
    EndSessions,
    GiveSku,
    Leave,
    Link,
    Open,
    Order,
    Status,
    key_of,
    stream_of,
)
from zekt_identity.account_terms import Kind, Persona, Sku
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_oauth import GitHubOAuth
from zekt_identity.ledger import Ledger
from zekt_identity.sealing import SealBroken, Sealer
from zekt_identity.user_tokens import SignInNeeded, UserTokenVault

_CONTACT: Final = "contact details"

log = structlog.get_logger()


class Contact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to write to about billing and support, and for nothing else."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    email: Annotated[str, msgspec.Meta(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}\Z")]
    company: Annotated[str, msgspec.Meta(max_length=200)] = ""

    def __repr__(self) -> str:
        return "Contact(...)"


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account as its owner wants it; what is left out stays as it is."""

    persona: Persona | msgspec.UnsetType = msgspec.UNSET
    kind: Kind | msgspec.UnsetType = msgspec.UNSET
    contact: Contact | msgspec.UnsetType = msgspec.UNSET
    sku: Sku | msgspec.UnsetType = msgspec.UNSET


class Accounts:
    """Executes commands on accounts; what is personal is sealed on the way in and opened on the way out."""

    def __init__(
        self, ledger: Ledger, sealer: Sealer, vault: UserTokenVault, oauth: GitHubOAuth, *, default_sku: Sku
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._vault = vault
        self._oauth = oauth
        self._default_sku = default_sku

    async def link(self, order: Order) -> Account:
        """Return the account of a person who has just signed in."""
        outcome = await self._ledger.execute(ACCOUNT, stream_of(order.account_id), Link(order))
        return outcome.state

    async def find(self, account_id: int) -> Account:
        """Return the account as it is now."""
        return await self._ledger.load(ACCOUNT, stream_of(account_id))

    async def contact(self, account: Account) -> Contact | None:
        """Return the contact details, None once they are erased, or where they came too late for their tenure."""
        if account.contact is None:
            return None
        try:
            content = await self._sealer.open(account.key, _CONTACT, account.contact)
        except (KeyDestroyed, SealBroken):
            return None
        return msgspec.json.decode(content, type=Contact)

    async def describe(self, order: Order, wanted: Description) -> Account:
        """Open the account, or change it, and return it as it is then.

        Raises:
            NotLinked: nobody is signed in for it.
            PersonaCannotNarrow: the persona would lose a side.
            SkuBeyond: the SKU takes an operator.
            OpeningIncomplete: it is not open, and something is left out.
        """
        command = Open(
            order=order,
            default_sku=self._default_sku,
            persona=wanted.persona or None,
            sku=wanted.sku or None,
            kind=wanted.kind or None,
            contact=await self._sealed(order.account_id, wanted.contact or None),
        )
        return (await self._ledger.execute(ACCOUNT, stream_of(order.account_id), command)).state

    async def give(self, order: Order, sku: Sku) -> Account:
        """Have the account have this SKU, as an operator orders, and return it as it is then.

        Raises:
            NotLinked: nobody is signed in for it.
        """
        command = GiveSku(order=order, sku=sku)
        return (await self._ledger.execute(ACCOUNT, stream_of(order.account_id), command)).state

    async def _sealed(self, account_id: int, wanted: Contact | None) -> bytes | None:
        """Return the contact details sealed, None where they stay as they are or nobody is there to have any."""
        account = await self.find(account_id)
        if wanted is None or not account.key or await self.contact(account) == wanted:
            return None
        return await self._sealer.seal(account.key, _CONTACT, msgspec.json.encode(wanted))

    async def end_sessions(self, order: Order, reason: str) -> None:
        """Have every session of the account that began until now count no more."""
        await self._ledger.execute(ACCOUNT, stream_of(order.account_id), EndSessions(order=order, reason=reason))

    async def revoked(self, order: Order) -> None:
        """Forget the tokens and end the sessions from before: the person has taken their yes back, but may be back."""
        account = await self.find(order.account_id)
        if account.sessions_end is None or account.sessions_end < order.at:
            await self._vault.remove_granted(order.account_id, until=order.at)
            await self.end_sessions(order, "authorization revoked at GitHub")

    async def leave(self, order: Order) -> None:
        """Close the account and erase what is personal; what a crash leaves undone a timer does."""
        await self._revoke(order.account_id)
        stream = stream_of(order.account_id)
        await self._ledger.execute(ACCOUNT, stream, Leave(order))
        await self.erase(stream)

    async def erase(self, stream: str) -> bool:
        """Destroy what was left: the data keys of past tenures, and the tokens; True once nothing is left to do.

        Who has come back meanwhile keeps what is of the tenure that they began.
        """
        account, account_id = await self._ledger.load(ACCOUNT, stream), int(stream.rpartition("/")[2])
        past = account.tenure if account.status is Status.LEFT else account.tenure - 1
        keys = [key_of(account_id, tenure) for tenure in range(1, past + 1)]
        for key in keys:
            await self._sealer.erase(key)
        await self._vault.remove_sealed(account_id, keys)
        return True

    async def _revoke(self, account_id: int) -> None:
        """Take the person's yes back at GitHub, while there is a token to do it with; else GitHub's settings do."""
        try:
            stored = await self._vault.usable(account_id)
            await self._oauth.revoke(stored.tokens.access_token)
        except (SignInNeeded, GitHubRefused, GitHubUnavailable) as error:
            log.info("grant_not_revoked", account_id=account_id, reason=type(error).__name__)
