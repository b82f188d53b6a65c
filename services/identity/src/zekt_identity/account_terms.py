"""What an account is and may do: its persona, its SKU, and whom its contact details are of."""

from enum import StrEnum

from zekt_common.errors import ZektError


class Persona(StrEnum):
    """Which side of a delivery the account may be on."""

    PROVIDER = "provider"
    CONSUMER = "consumer"
    BOTH = "both"


class Sku(StrEnum):
    """What the account has bought, the least first."""

    FREE = "free"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"

    def is_within(self, limit: "Sku") -> bool:
        """Return whether it allows no more than `limit` does."""
        order = list(Sku)
        return order.index(self) <= order.index(limit)


class Kind(StrEnum):
    """Whom the contact details are of."""

    INDIVIDUAL = "individual"
    COMPANY = "company"


class SkuBeyond(ZektError):
    """The owner asks for more than the account may have without an operator."""


class PersonaCannotNarrow(ZektError):
    """An account that is both stays both, and no persona turns into the other."""
