"""Who is let in with a message: enabled repositories, at a bounded rate."""

from collections.abc import Callable
from typing import Final

from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_ingress.catalog_view import CatalogView

RUN_MESSAGES: Final = 100
RUN_MESSAGES_PER_S: Final = 1 / 60


class Admission:
    """Refuses in the published action's form: one sentence for the customer."""

    def __init__(self, view: CatalogView, *, caught_up: Callable[[], bool], rate_limit: RateLimit) -> None:
        self._view = view
        self._caught_up = caught_up
        self._rate_limit = rate_limit
        self._run_limit = RateLimit(per_s=RUN_MESSAGES_PER_S, burst=RUN_MESSAGES)

    def check_rate(self, repository_id: int) -> None:
        """Pass, or refuse with 429 a repository that sends too much."""
        wait_s = self._rate_limit.wait_s(repository_id)
        if wait_s:
            raise Refusal(
                429, f"Too many messages from this repository: wait {wait_s} s.", headers={"Retry-After": str(wait_s)}
            )

    def check_run(self, repository_id: int, run_id: int) -> None:
        """Pass, or refuse with 429 a run that has posted its share: a run's messages are decided together."""
        wait_s = self._run_limit.wait_s((repository_id, run_id))
        if wait_s:
            raise Refusal(
                429,
                f"Too many messages from this run: a run may post {RUN_MESSAGES} at once. Wait {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )

    async def check_enabled(self, owner_id: int, repository_id: int) -> None:
        """Pass, or refuse with 404; with 503 while it may yet turn out that the repository was enabled."""
        if await self._view.is_provider(owner_id, repository_id):
            return
        if not self._caught_up():
            raise Refusal(
                503,
                "The server has just started and does not know every repository yet. Retry.",
                headers={"Retry-After": "2"},
            )
        detail = "This repository is not enabled as a provider: its owner can enable it in the Zekt catalog."
        raise Refusal(404, "repository_not_enabled", detail)
