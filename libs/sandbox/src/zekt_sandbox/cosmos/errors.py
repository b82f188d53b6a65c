"""What the stand-in refuses, in the service's own statuses and substatuses."""


class CosmosError(Exception):
    """A request is refused with `status` and, where the SDK acts on one, `substatus`."""

    def __init__(self, status: int, code: str, message: str, substatus: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.substatus = substatus


class InvalidControlError(Exception):
    """A control was asked for something that does not exist or makes no sense."""


class NotLoopbackError(Exception):
    """The stand-in was asked to listen where others could reach it."""


def bad_request(message: str, substatus: int | None = None) -> CosmosError:
    """400."""
    return CosmosError(400, "BadRequest", message, substatus)


def unauthorized(message: str) -> CosmosError:
    """401."""
    return CosmosError(401, "Unauthorized", message)


def forbidden(message: str) -> CosmosError:
    """403."""
    return CosmosError(403, "Forbidden", message)


def not_found() -> CosmosError:
    """404: the addressed resource itself is missing."""
    return CosmosError(404, "NotFound", "Entity with the specified id does not exist in the system.")


def owner_not_found() -> CosmosError:
    """404 with substatus 1003: the database or container that would hold the resource is missing."""
    return CosmosError(404, "NotFound", "Owner resource does not exist", 1003)


def conflict() -> CosmosError:
    """409."""
    return CosmosError(409, "Conflict", "Entity with the specified id already exists in the system.")


def range_gone() -> CosmosError:
    """410 with substatus 1002: the key range was split."""
    return CosmosError(410, "Gone", "The requested resource is no longer available at the server.", 1002)


def precondition_failed() -> CosmosError:
    """412."""
    return CosmosError(412, "PreconditionFailed", "One of the specified pre-condition is not met.")


def too_large() -> CosmosError:
    """413."""
    return CosmosError(413, "RequestEntityTooLarge", "Request size is too large")
