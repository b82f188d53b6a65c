"""What people may do: roles in organisations and permissions in repositories."""

from collections import defaultdict

from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.model import Account, Repository

ROLES = {"none": 0, "read": 1, "write": 2, "admin": 3}
MEMBERSHIPS = frozenset({"admin", "member", "none"})


class People:
    """Memberships and direct permissions; owners and organisation admins hold every repository of theirs."""

    def __init__(self) -> None:
        self._memberships: defaultdict[int, dict[int, str]] = defaultdict(dict)
        self._collaborators: defaultdict[int, dict[int, str]] = defaultdict(dict)

    def set_membership(self, organization: Account, person: Account, membership: str) -> None:
        """Make a person an admin or a member of an organisation, or neither.

        Raises:
            InvalidControlError: there is no such membership.
        """
        if membership not in MEMBERSHIPS:
            raise InvalidControlError(f"a membership is one of {sorted(MEMBERSHIPS)}")
        self._memberships[organization.id][person.id] = membership

    def set_permission(self, repository: Repository, person: Account, permission: str) -> None:
        """Give a person a permission in one repository; `none` takes the direct one away.

        Raises:
            InvalidControlError: there is no such permission.
        """
        if permission not in ROLES:
            raise InvalidControlError(f"a permission is one of {sorted(ROLES)}")
        self._collaborators[repository.id][person.id] = permission

    def belongs_to(self, person: Account, account: Account) -> bool:
        """Whether the account is the person's own, or an organisation they are in."""
        return account.id == person.id or self._membership(person, account) != "none"

    def permission(self, person: Account, repository: Repository) -> str:
        """The highest permission a person holds explicitly: none, read, write or admin."""
        owner = repository.owner
        if owner.id == person.id or self._membership(person, owner) == "admin":
            return "admin"
        by_membership = "none" if self._membership(person, owner) == "none" else "read"
        direct = self._collaborators[repository.id].get(person.id, "none")
        return max(by_membership, direct, key=ROLES.__getitem__)

    def holds(self, person: Account, repository: Repository, permission: str) -> bool:
        """Whether a person holds `permission` or a higher one explicitly."""
        return ROLES[self.permission(person, repository)] >= ROLES[permission]

    def _membership(self, person: Account, organization: Account) -> str:
        return self._memberships[organization.id].get(person.id, "none")
