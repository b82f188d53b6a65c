"""What the stand-in refuses, in the service's own statuses and codes."""


class VaultError(Exception):
    """A request is refused with `status`; `reason` is the inner error's code, where the service gives one."""

    def __init__(self, status: int, code: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason


class InvalidControlError(Exception):
    """A control was asked for something that does not exist or makes no sense."""


class NotLoopbackError(Exception):
    """The stand-in was asked to listen where others could reach it."""


def bad_parameter(message: str) -> VaultError:
    """400."""
    return VaultError(400, "BadParameter", message)


def unauthorized() -> VaultError:
    """401, with the challenge that says whom a token must be meant for."""
    return VaultError(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")


def disabled() -> VaultError:
    """403: a version that is disabled does nothing."""
    return VaultError(403, "Forbidden", "Operation is not allowed on a disabled key.", "KeyDisabled")


def key_not_found(name: str) -> VaultError:
    """404."""
    return VaultError(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault.")
