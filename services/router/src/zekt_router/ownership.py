"""What a person may apply: a document about their own account alone, whose ids are looked up and not claimed."""

from collections.abc import Iterator
from typing import Final, Protocol

from zekt_common.auth.authorisation import Caller, NotOwner, check_owner
from zekt_router.allowance import Allowance
from zekt_router.catalog import Define
from zekt_router.catalog_document import CatalogDocument, DocumentProblem, InvalidDocument
from zekt_router.directory import GitHubNames, NameUnknown
from zekt_router.resolve import Resolved

CLAIMED: Final = "operators_alone"


class KnownAccounts(Protocol):
    """Where the catalog knows accounts by their logins."""

    async def account_id(self, login: str, /) -> int | None:
        """Return the id of the account, or None."""
        ...


class Ownership:
    """Looks at a document before anything in it is looked up, and at what it was resolved to."""

    def __init__(self, known: KnownAccounts, github: GitHubNames, allowance: Allowance) -> None:
        self._known = known
        self._github = github
        self._allowance = allowance

    async def check_document(self, caller: Caller, document: CatalogDocument) -> None:
        """Pass if all that the document names is below the person's own login; it tells nothing of others' names.

        Raises:
            InvalidDocument: it gives ids or a SKU, which only operators may, or more than the person's SKU allows.
            NotOwner: it names another account, or one that the App is not installed in.
            Refusal: 429, as long as the person has had too many names looked up.
            TokensUnavailable: the login cannot be looked up now.
            GitHubUnavailable: likewise.
        """
        if caller.is_operator:
            return
        claims = list(_claims(document))
        if claims:
            raise InvalidDocument(claims)
        logins = {login.lower() for login in _logins(document)}
        if len(logins) > 1:
            raise NotOwner
        owned = [await self._account_id(login, document, caller) for login in logins]
        check_owner(caller, owned)
        for account_id in owned:
            await self._allowance.check_new(caller, account_id, document)

    def check_resolved(self, caller: Caller, resolved: Resolved) -> None:
        """Pass if every account that is changed, and every one that is delivered to, is the person's own.

        Raises:
            NotOwner: one of them is not.
        """
        check_owner(caller, resolved.logins)
        for command in resolved.commands:
            check_owner(caller, _concerned(command))

    async def _account_id(self, login: str, document: CatalogDocument, caller: Caller) -> int:
        """Return the login's id; GitHub is asked through an installation only, since it answers nobody as often."""
        known = await self._known.account_id(login)
        if known is not None:
            return known
        if not document.repositories:
            raise NotOwner
        self._allowance.spend(caller, 1)
        try:
            return await self._github.account_id(login, through=document.repositories[0].repository)
        except NameUnknown:
            raise NotOwner from None


def _claims(document: CatalogDocument) -> Iterator[DocumentProblem]:
    """Yield what a person cannot vouch for: whose an id is, and what an account has bought."""
    detail = "Leave it out: it is looked up. Only operators may give it."
    for index, account in enumerate(document.accounts):
        for name, value in (("accountId", account.account_id), ("sku", account.sku)):
            if value is not None:
                yield DocumentProblem(path=f"accounts[{index}].{name}", code=CLAIMED, detail=detail)
    for index, repository in enumerate(document.repositories):
        ids = (("repositoryId", repository.repository_id), ("installationId", repository.installation_id))
        for name, value in ids:
            if value is not None:
                yield DocumentProblem(path=f"repositories[{index}].{name}", code=CLAIMED, detail=detail)


def _logins(document: CatalogDocument) -> Iterator[str]:
    yield from (account.login for account in document.accounts)
    yield from (service.owner for service in document.services)
    yield from (subscription.owner for subscription in document.subscriptions)
    named = [
        *(repository.repository for repository in document.repositories),
        *(workflow.repository for workflow in document.workflows),
        *(service.repository for service in document.services),
        *(subscription.target for subscription in document.subscriptions),
    ]
    yield from (full_name.partition("/")[0] for full_name in named)


def _concerned(command: Define) -> set[int]:
    targets = {subscription.target_account_id for subscription in command.subscriptions}
    return {command.account_id, *targets}
