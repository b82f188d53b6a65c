"""Controls over people: who they are, what they may do, and what they let the App do."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from zekt_sandbox.github.core import Core
from zekt_sandbox.github.device_codes import DEFAULT_INTERVAL_S
from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.model import Account, HookDelivery
from zekt_sandbox.github.state import ANYBODY
from zekt_sandbox.github.user_tokens import USER_TOKEN_LIFE_S, UserToken


class PersonOptions(TypedDict, total=False):
    """What may be said of a new user."""

    id: int
    name: str
    email: str


class DeviceFlowOptions(TypedDict, total=False):
    """How the device flow goes: whether at all, and how many seconds a device waits between two polls."""

    enabled: bool
    interval_s: int


class UserTokenOptions(TypedDict, total=False):
    """How many seconds a user access token lives."""

    life_s: int


class PeopleControls:
    """Makes people and their permissions, and signs them in without a browser."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create_user(self, login: str, **options: Unpack[PersonOptions]) -> Account:
        """A new user.

        Raises:
            InvalidControlError: the login or the id is taken.
        """
        number = options.get("id") or self._core.state.ids.next("account")
        user = Account(number, login, "User", options.get("name"), options.get("email"))
        return self._core.state.add_account(user)

    def set_membership(self, organization: str, login: str, membership: str) -> None:
        """Make a person an admin or a member of an organisation, or neither (`none`).

        Raises:
            UnknownNameError: there is no such organisation or person.
            InvalidControlError: there is no such membership.
        """
        self._core.state.people.set_membership(self._core.state.account(organization), self._person(login), membership)

    def set_permission(self, full_name: str, login: str, permission: str) -> None:
        """Give a person `read`, `write`, `admin` or `none` in one repository.

        Raises:
            UnknownNameError: there is no such repository or person.
            InvalidControlError: there is no such permission.
        """
        self._core.state.people.set_permission(self._core.state.repository(full_name), self._person(login), permission)

    def mint_user_token(self, login: str) -> UserToken:
        """A user access token and its refresh token, as a sign-in would give.

        Raises:
            UnknownNameError: there is no such person.
        """
        return self._core.oauth.tokens.issue(self._person(login))

    def set_user_token_life(self, **options: Unpack[UserTokenOptions]) -> None:
        """Let user access tokens that are given from now on live so long; left out, as long as GitHub's."""
        self._core.oauth.tokens.life_s = options.get("life_s", USER_TOKEN_LIFE_S)

    def set_callback_urls(self, urls: Sequence[str]) -> None:
        """Register the App's callback URLs; a redirect URI must be one of them, to the letter."""
        self._core.state.app.callback_urls = tuple(urls)

    def set_device_flow(self, **options: Unpack[DeviceFlowOptions]) -> None:
        """Allow the device flow or not, and pace it; what is left out is as at GitHub."""
        devices = self._core.oauth.devices
        devices.enabled = options.get("enabled", True)
        devices.interval_s = options.get("interval_s", DEFAULT_INTERVAL_S)

    def answer_device(self, user_code: str, login: str, *, authorize: bool = True) -> None:
        """Type in the code that a device shows, as the person called `login`, and authorise or decline.

        Raises:
            UnknownNameError: there is no such person, or no device waits for the code.
        """
        person = self._person(login)
        self._core.oauth.devices.answer(user_code, person if authorize else None)

    async def rename_account(self, login: str, new_login: str) -> list[HookDelivery]:
        """Give a person or an organisation another login; the App hears of it where it is installed.

        Raises:
            UnknownNameError: there is no such account.
            InvalidControlError: the new login is taken.
        """
        account = self._core.state.account(login)
        former = account.login
        self._core.state.rename_account(account, new_login)
        by = account if account.type == "User" else self._core.state.actor(ANYBODY)
        return await self._core.sender.send_all(self._core.announcer.account_renamed(account, former, by))

    async def revoke_authorization(self, login: str) -> list[HookDelivery]:
        """Let a person take back what they authorised: their tokens stop working and the App is told.

        Raises:
            UnknownNameError: there is no such person.
        """
        person = self._person(login)
        self._core.oauth.tokens.revoke_all(person)
        return await self._core.sender.send_all(self._core.announcer.authorization_revoked(person))

    def _person(self, login: str) -> Account:
        found = self._core.state.account(login)
        if found.type != "User":
            raise InvalidControlError(f"{login!r} is an organisation")
        return found
