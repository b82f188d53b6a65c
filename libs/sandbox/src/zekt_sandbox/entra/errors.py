"""What the stand-in refuses, in Entra ID's own codes."""

from typing import Any


class EntraError(Exception):
    """A request is refused: `error` is OAuth's code, `number` the one behind `AADSTS`, which the metadata has not."""

    def __init__(self, status: int, error: str, description: str, number: int | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.number = number

    def view(self) -> dict[str, Any]:
        """The answer's body."""
        if self.number is None:
            return {"error": self.error, "error_description": str(self)}
        described = f"AADSTS{self.number}: {self}"
        return {"error": self.error, "error_description": described, "error_codes": [self.number]}


class NotLoopbackError(Exception):
    """The stand-in was asked to listen where others could reach it."""


class UnknownApplicationError(Exception):
    """A control was asked for an application that is not registered."""


def invalid_client(number: int, description: str) -> EntraError:
    """401: the application does not prove who it is."""
    return EntraError(401, "invalid_client", description, number)


def unknown_tenant() -> EntraError:
    """400: no such tenant here."""
    return EntraError(400, "invalid_tenant", "The tenant was not found.", 90002)


def unknown_application() -> EntraError:
    """400: no such application in the tenant."""
    return EntraError(400, "unauthorized_client", "The application was not found in the directory.", 700016)


def unknown_resource() -> EntraError:
    """400: no such API in the tenant."""
    return EntraError(400, "invalid_resource", "The resource principal was not found in the tenant.", 500011)


def malformed_scope() -> EntraError:
    """400: an application asks for a resource's /.default."""
    return EntraError(400, "invalid_scope", "The provided value for scope is not valid: use /.default.", 1002012)


def unsupported_grant() -> EntraError:
    """400: client credentials are all there is."""
    return EntraError(400, "unsupported_grant_type", "The grant type is not supported.", 70003)
