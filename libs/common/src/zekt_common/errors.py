"""The errors that Zekt's ports and kit raise, each named for its condition."""


class ZektError(Exception):
    """The root of every error that Zekt raises on purpose."""


class StreamConflict(ZektError):
    """The stream was not at the expected version: somebody else appended first."""

    def __init__(self, stream: str, *, expected: int, actual: int) -> None:
        super().__init__(f"{stream} is at version {actual}, not {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[object, ...]:
        return _stream_conflict, (self.stream, self.expected, self.actual)


def _stream_conflict(stream: str, expected: int, actual: int) -> StreamConflict:
    return StreamConflict(stream, expected=expected, actual=actual)


class AppendTooLarge(ZektError):
    """No engine takes so many events or bytes in one append: nothing was stored."""


class InvalidStream(ZektError):
    """The stream's name is empty, too long or has a character outside the allowed set."""


class UnknownEventType(ZektError):
    """No schema is registered for this event type and schema version."""


class EventTampered(ZektError):
    """A known event id came with another commit id: two different histories claim one version."""


class DocumentConflict(ZektError):
    """The document's ETag was not the expected one."""


class LeaseLost(ZektError):
    """The lease could not be kept: somebody else may hold it by now."""


class LockLost(ZektError):
    """The message's lock expired or was taken over; whoever holds it now settles it."""


class UnknownSubscription(ZektError):
    """The topology names no such topic or subscription."""


class MessageTooLarge(ZektError):
    """The encoded message is over the bus's limit of 256 KB; what is large travels by reference."""


class PayloadNotFound(ZektError):
    """No payload under this account and hash: never stored, expired or erased."""


class KeyDestroyed(ZektError):
    """The account's data key was destroyed: what it protected is erased for good."""


class StorageUnusable(ZektError):
    """A data file cannot be opened or written: unreadable, newer than this program, locked or full."""


class BackendUnavailable(StorageUnusable):
    """A cloud endpoint cannot be reached, refuses us or is overloaded; the message names the setting behind it."""


class ClockApart(StorageUnusable):
    """This machine's clock is too far from the store's for the order of stamps to be trusted: set it."""


class BackendRefused(BackendUnavailable):
    """A cloud endpoint does not take our key or identity, or does not let it do this."""


class SettingsError(ZektError):
    """Settings are missing or malformed; the message names every one of them."""
