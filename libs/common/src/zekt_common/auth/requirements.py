"""What a route may require of its caller, as values: every route names one, and `authorisation` says who meets it."""

from typing import ClassVar

import msgspec


class Requirement(msgspec.Struct, frozen=True):
    """One of the values below; as a string it is what the documentation says."""

    words: ClassVar[str]

    def __str__(self) -> str:
        return self.words


class Public(Requirement, frozen=True):
    """Nothing of the caller: public keys and probes."""

    words = "nothing"


class WebhookSignature(Requirement, frozen=True):
    """A signature over the raw bytes with one of our webhook secrets; the handler verifies it."""

    words = "a webhook's signature"


class ActionsToken(Requirement, frozen=True):
    """A GitHub Actions OIDC token; the handler verifies it, since what it may do depends on the body."""

    words = "a workflow's OIDC token"


class SigningIn(Requirement, frozen=True):
    """A browser or command line on its way to a session; the handler binds it to the attempt that it has begun."""

    words = "an attempt to sign in"


class ServiceRole(Requirement, frozen=True):
    """A service token with this role, on the internal port; the handler verifies it."""

    role: str

    def __str__(self) -> str:
        return f"a service token with `{self.role}`"


class PersonSession(Requirement, frozen=True):
    """A person who is signed in, whoever it is; what they get to see is their own."""

    words = "a session"


class AccountOwner(Requirement, frozen=True):
    """The person whose account it is that the route is about."""

    words = "the account's owner"


class RepositoryAdmin(Requirement, frozen=True):
    """A person who administers the repository of the path at GitHub."""

    words = "an admin of the repository"


class Operator(Requirement, frozen=True):
    """Whoever runs this suite; the host verifies it before the handler is called."""

    words = "an operator"


class OperatorOrOwner(Requirement, frozen=True):
    """An operator, or the owner of every account concerned; the host says which, the handler knows the accounts."""

    words = "an operator, or the owner of every account concerned"


OPERATORS_OWN = (Operator, OperatorOrOwner)
"""The requirements that the host looks at."""
MACHINES_OWN = (WebhookSignature, ActionsToken)
"""The requirements that a handler verifies on a public port, and whose refusals the host notes."""
