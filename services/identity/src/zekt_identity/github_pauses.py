"""When GitHub is left alone: about one person whose limit is reached, about everybody while it is failing."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from zekt_common.errors import ZektError
from zekt_identity.circuit import Circuit
from zekt_identity.github_app import DEFAULT_LIMIT_PAUSE_S, GitHubUnavailable, RateLimited

MAX_KEPT: Final = 10_000


class GitHubPauses:
    """What calls with people's tokens have met; a rate limit is of one person and says nothing of the others."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, *, max_kept: int = MAX_KEPT) -> None:
        self._monotonic = monotonic
        self._max_kept = max_kept
        self._circuit = Circuit(monotonic)
        self._until: OrderedDict[int, float] = OrderedDict()

    @contextmanager
    def calling(self, account_id: int) -> Iterator[None]:
        """Let the block call GitHub for this person, if it may be called now, and learn from how that ends.

        Raises:
            GitHubUnavailable: not now; it says when.
        """
        self._check(account_id)
        try:
            yield
        except RateLimited as error:
            self._limited(account_id, error.pause_s)
            raise
        except GitHubUnavailable as error:
            self._circuit.failed(error.pause_s)
            raise
        except ZektError:
            self._answered(account_id)
            raise
        except BaseException:
            self._circuit.failed()
            raise
        self._answered(account_id)

    def _check(self, account_id: int) -> None:
        asked_s = self._until.get(account_id, 0.0) - self._monotonic()
        if asked_s > 0:
            raise GitHubUnavailable("GitHub asked to wait", pause_s=asked_s)
        failing_s = self._circuit.blocked_for_s()
        if failing_s:
            raise GitHubUnavailable("GitHub has been failing and is left alone for a while", pause_s=failing_s)

    def _answered(self, account_id: int) -> None:
        self._until.pop(account_id, None)
        self._circuit.succeeded()

    def _limited(self, account_id: int, pause_s: float | None) -> None:
        """Wait about this person as long as GitHub asked; it answers the others."""
        self._circuit.succeeded()
        self._until[account_id] = self._monotonic() + (DEFAULT_LIMIT_PAUSE_S if pause_s is None else pause_s)
        self._until.move_to_end(account_id)
        while len(self._until) > self._max_kept:
            self._until.popitem(last=False)
