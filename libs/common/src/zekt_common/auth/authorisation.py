"""The one place that decides who a caller is and whether that meets what a route requires.

What only a handler can see (a signature over the body, a workflow's token, an attempt to sign in, a service token) it
verifies itself; whose account or repository it is about is decided here, with what the handler knows of it.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import jwt
import msgspec
from aiohttp import web

from zekt_common.auth.operator import TOKEN_FILE, check_operator
from zekt_common.auth.refusals import RoleMissing
from zekt_common.auth.requirements import Operator, OperatorOrOwner, Requirement
from zekt_common.auth.sessions import COOKIE, Session, SessionVerifier
from zekt_common.kit.errors import Refusal

OPERATOR_ROLE: Final = "Operator"
"""The app role of Entra ID, and what a refusal calls what is missing."""
_ROLE_ALGORITHM: Final = "RS256"
_TOKEN_DOTS: Final = 2


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: `actor` is a GitHub user id, an Entra ID application, a repository, or the operator token's file.

    Only a person has an `account_id`.
    """

    actor: str
    is_operator: bool
    account_id: int | None = None

    def owns(self, account_ids: Iterable[int]) -> bool:
        """Return whether all of these accounts are the person's own."""
        return all(account_id == self.account_id for account_id in account_ids)


CALLER: Final = web.RequestKey("CALLER", Caller)
"""Where a handler finds who calls, on the routes that the host looks at, and leaves it, where it looks itself."""
LOCAL_OPERATOR: Final = Caller(actor=TOKEN_FILE, is_operator=True)


def repository_caller(repository_id: int) -> Caller:
    """Return as who calls a repository, that is a run or a hook of it."""
    return Caller(actor=f"repository/{repository_id}", is_operator=False)


class OperatorNeeded(RoleMissing):
    """A person who is signed in is no operator: no token's role would say so."""

    def __init__(self) -> None:
        detail = "This takes an operator, and you are none. Whoever runs the suite lists them by GitHub user id."
        super().__init__(OPERATOR_ROLE, detail=detail)


class NotOwner(Refusal):
    """The account is somebody else's, or there is none: which of the two is not said."""

    def __init__(self) -> None:
        super().__init__(403, "not_owner", "This takes an operator, or the owner of every account that it concerns.")


class RepositoryHidden(Refusal):
    """There is no such repository for this person: which of the reasons is not said."""

    def __init__(self) -> None:
        detail = "You see no such repository, or the App is not installed in it."
        super().__init__(404, "repository_not_found", detail)


class AdminNeeded(Refusal):
    """The person sees the repository, and does not administer it."""

    def __init__(self) -> None:
        super().__init__(403, "repository_admin_needed", "This takes an admin of the repository at GitHub.")


class Standing(msgspec.Struct, frozen=True):
    """What a person may do in a repository that they see, as GitHub tells them."""

    is_admin: bool


class Known(Protocol):
    """Somebody whose token was verified."""

    @property
    def service(self) -> str:
        """What the issuer calls them."""
        ...


class Roles(Protocol):
    """Verifies tokens that carry roles, as Entra ID's do."""

    async def verify(self, authorization: str | None, /, *, role: str) -> Known:
        """Return who calls, if they have the role.

        Raises:
            TokenRefused: no token, or not one that counts.
            RoleMissing: the caller does not have the role.
            IssuerUnreachable: the issuer's keys cannot be had now.
        """
        ...


class Authorisation:
    """Knows operators by the data directory's token (over loopback), by GitHub user id, or by a role of Entra ID."""

    def __init__(
        self,
        operator_token: str,
        sessions: SessionVerifier,
        *,
        operators: frozenset[int] = frozenset(),
        roles: Roles | None = None,
    ) -> None:
        self._operator_token = operator_token
        self._sessions = sessions
        self._operators = operators
        self._roles = roles

    async def admit(self, requirement: Requirement, request: web.Request) -> Caller:
        """Return who calls, if that meets the requirement as far as can be seen here; the request keeps it as CALLER.

        Raises:
            Refusal: 401, 403, or 503 when it cannot be known now.
        """
        caller = request[CALLER] = await self.identify(request)
        check(requirement, caller)
        return caller

    async def identify(self, request: web.Request) -> Caller:
        """Return who calls.

        Raises:
            Refusal: 401 or 403 if nobody does who is known, 503 when it cannot be known now.
        """
        authorization = request.headers.get("Authorization")
        if authorization is None and COOKIE in request.cookies:
            return self._person(await self._sessions.verify(request))
        if not _is_signed(authorization):
            check_operator(self._operator_token, request.headers, request.remote)
            return LOCAL_OPERATOR
        if self._roles is not None and _algorithm(authorization) == _ROLE_ALGORITHM:
            known = await self._roles.verify(authorization, role=OPERATOR_ROLE)
            return Caller(actor=f"entra:{known.service}", is_operator=True)
        return self._person(await self._sessions.verify(request))

    def _person(self, session: Session) -> Caller:
        account_id = session.account_id
        return Caller(actor=str(account_id), is_operator=account_id in self._operators, account_id=account_id)


def check(requirement: Requirement, caller: Caller) -> None:
    """Pass if the caller meets the requirement; of owners, `check_owner` looks at the accounts.

    Raises:
        OperatorNeeded: an operator is required, and this is none.
    """
    match requirement:
        case Operator() if not caller.is_operator:
            raise OperatorNeeded
        case OperatorOrOwner() if not caller.is_operator and caller.account_id is None:
            raise OperatorNeeded
        case _:
            return


def check_owner(caller: Caller, account_ids: Iterable[int]) -> None:
    """Pass an operator, and a person whose own account is the only one of these.

    Raises:
        NotOwner: one of the accounts is somebody else's.
    """
    if not caller.is_operator and not caller.owns(account_ids):
        raise NotOwner


def check_admin(standing: Standing | None) -> None:
    """Pass an admin of the repository; None is the standing of who does not see it.

    Raises:
        RepositoryHidden: they do not see it.
        AdminNeeded: they do not administer it.
    """
    if standing is None:
        raise RepositoryHidden
    if not standing.is_admin:
        raise AdminNeeded


def _is_signed(authorization: str | None) -> bool:
    """Return whether the credential has the form of a JSON Web Token; the operator token has not."""
    return authorization is not None and authorization.count(".") == _TOKEN_DOTS


def _algorithm(authorization: str | None) -> str | None:
    try:
        header = jwt.get_unverified_header((authorization or "").rpartition(" ")[2])
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return header.get("alg")
