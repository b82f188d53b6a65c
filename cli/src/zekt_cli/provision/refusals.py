"""What Azure refuses, said with the setting that leads there and nothing of what was sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from zekt_cli.exits import CommandFailed, Exit
from zekt_common.errors import BackendRefused, BackendUnavailable

_REFUSED = (401, 403)


@contextmanager
def explained(setting: str, what: str) -> Iterator[None]:
    """Turn an error of Azure's into one line; `what` is what was asked for.

    Raises:
        CommandFailed: 5 when we may not, 3 when nothing answers, 1 for any other answer.
    """
    try:
        yield
    except BackendRefused as error:
        raise CommandFailed(Exit.REFUSED, str(error)) from None
    except BackendUnavailable as error:
        raise CommandFailed(Exit.UNREACHABLE, str(error)) from None
    except AzureError as error:
        raise _failed(f"{setting}: {what}", error) from None


def _failed(what: str, error: AzureError) -> CommandFailed:
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ClientAuthenticationError) or status in _REFUSED:
        said = f" ({status})" if status else ""
        return CommandFailed(Exit.REFUSED, f"{what} was refused{said}: docs/azure.md names the roles it takes")
    if status is None:
        return CommandFailed(Exit.UNREACHABLE, f"{what} got no answer ({type(error).__name__})")
    return CommandFailed(Exit.CHECK_FAILED, f"{what} failed with status {status}")
