"""Whether GitHub knows the App by its key: asked once at start, and again while the answer is no."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from zekt_common.kit.service import Check
from zekt_identity.github_app import AppCredentialsRefused, GitHubRefused, GitHubUnavailable

ASK_AGAIN_S: Final = 60.0
UNREACHABLE_AGAIN_S: Final = 10.0
CHECK_NAME: Final = "github_app"

log = structlog.get_logger()


class CredentialsWatch:
    """Asks GitHub in the background, so that a readiness probe never waits for GitHub.

    GitHub being out of reach does not make identity unready: look-ups then say so themselves, and the suite goes on
    taking webhooks.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], *, again_s: float = ASK_AGAIN_S) -> None:
        self._ask = ask
        self._again_s = again_s
        self._check = Check(name=CHECK_NAME, ok=False, detail="GitHub has not been asked about the App yet.")

    def check(self) -> Check:
        """Return what is known now."""
        return self._check

    async def run(self) -> None:
        """Ask until GitHub knows the App."""
        while (pause_s := await self._ask_once()) is not None:  # noqa: ASYNC110 - GitHub announces nothing
            await asyncio.sleep(pause_s)

    async def _ask_once(self) -> float | None:
        try:
            await self._ask()
        except GitHubUnavailable as error:
            self._learned(ok=True, detail=f"{error}; token look-ups will say so until it answers.")
            return min(UNREACHABLE_AGAIN_S, self._again_s)
        except AppCredentialsRefused as error:
            detail = f"GitHub refuses the App's credentials ({error})."
            self._learned(ok=False, detail=f"{detail} Check ZEKT_GITHUB_APP_ID and ZEKT_GITHUB_APP_PRIVATE_KEY_FILE.")
            return self._again_s
        except GitHubRefused as error:
            self._learned(ok=False, detail=f"GitHub refuses the App: {error}. Check ZEKT_GITHUB_API_URL.")
            return self._again_s
        self._learned(ok=True, detail="")
        return None

    def _learned(self, *, ok: bool, detail: str) -> None:
        if detail and detail != self._check.detail:
            log.warning("app_credentials_not_confirmed", detail=detail)
        self._check = Check(name=CHECK_NAME, ok=ok, detail=detail)
