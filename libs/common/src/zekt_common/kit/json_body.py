"""What a request's body says, as JSON of one shape: whatever is wrong with it is the caller's to mend."""

from typing import TypeVar

import msgspec

from zekt_common.kit.errors import Refusal

Body = TypeVar("Body")


class BodyMalformed(Refusal):
    """The body is no JSON, or of another shape."""

    def __init__(self, detail: str, *, error: str = "invalid_request") -> None:
        super().__init__(400, error, detail)


def json_body(content: bytes, kind: type[Body], *, error: str = "invalid_request", expected: str = "") -> Body:
    """Return the body; `expected` is what its sender is told in place of what is wrong with it.

    Raises:
        BodyMalformed: it is no JSON in UTF-8, nested deeper than can be read, or of another shape.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as malformed:
        raise BodyMalformed(expected or f"{malformed}.", error=error) from None
    except UnicodeDecodeError:
        raise BodyMalformed(expected or "The body is not in UTF-8.", error=error) from None
    except RecursionError:
        raise BodyMalformed(expected or "The body is nested too deeply.", error=error) from None
