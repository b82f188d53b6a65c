"""What goes wrong while identity acts for a person at GitHub, as they are told it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from zekt_common.kit.errors import Refusal
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_person import FORBIDDEN, MOVED, NOT_FOUND
from zekt_identity.user_tokens import SignInNeeded

RETRY_AFTER_S: Final = 5.0
_AGAIN: Final = "Sign in again at /auth/login, or with `zekt login`."


@contextmanager
def acting() -> Iterator[None]:
    """Turn GitHub's refusals and absences into answers.

    Raises:
        Refusal: 401 to sign in again, 403, 404, 409 or 422 as GitHub says, 503 with Retry-After when not now.
    """
    try:
        yield
    except SignInNeeded:
        raise Refusal(401, "sign_in_needed", f"GitHub takes your sign-in no more. {_AGAIN}") from None
    except GitHubUnavailable as error:
        headers = {"Retry-After": str(math.ceil(error.pause_s or RETRY_AFTER_S))}
        raise Refusal(503, "github_unavailable", f"{error}. Try again shortly.", headers=headers) from None
    except GitHubRefused as error:
        raise _refusal(error) from None


def _refusal(error: GitHubRefused) -> Refusal:
    match error.code:
        case code if code == NOT_FOUND:
            return Refusal(404, "not_found", "You see nothing there at GitHub.")
        case code if code == FORBIDDEN:
            detail = "GitHub does not allow it: the installation must grant it, and no archived repository does."
            return Refusal(403, "permission_not_granted", detail)
        case code if code == MOVED:
            return Refusal(409, "repository_moved", "It was renamed at GitHub just now. Try again in half a minute.")
        case _:
            return Refusal(422, "github_refused", "GitHub refuses this.")
