"""People who sign in to a suite at the stand-in for GitHub."""

from typing import Any
from urllib.parse import urlsplit

import aiohttp

COOKIE = "__Host-zekt_session"
ATTEMPT = "__Host-zekt_sign_in"


async def session_of(http: aiohttp.ClientSession, url: str, login: str) -> str:
    """Sign in as this person, as a browser does, and return the session's token."""
    async with http.get(f"{url}/auth/login", allow_redirects=False) as begun:
        asking, note = begun.headers["Location"], begun.cookies[ATTEMPT].value
    async with http.get(f"{asking}&login={login}", allow_redirects=False) as said_yes:
        back = urlsplit(said_yes.headers["Location"])
    headers = {"Cookie": f"{ATTEMPT}={note}"}
    async with http.get(f"{url}{back.path}?{back.query}", headers=headers, allow_redirects=False) as signed_in:
        assert signed_in.status == 303, await signed_in.text()
        return signed_in.cookies[COOKIE].value


def catalog_of(login: str, **changes: Any) -> dict[str, Any]:
    """Return a catalog of one person's own two repositories."""
    repositories = [
        {"repository": f"{login}/tools", "enabledAs": ["provider"]},
        {"repository": f"{login}/site", "enabledAs": ["consumer"]},
    ]
    workflow = ".github/workflows/ci.yml"
    service = {"owner": login, "slug": "ci", "repository": f"{login}/tools", "workflow": workflow}
    return {
        "accounts": [{"login": login, "persona": "both"}],
        "repositories": repositories,
        "workflows": [{"repository": f"{login}/tools", "path": workflow}],
        "services": [service],
        "subscriptions": [{"service": f"{login}/ci", "target": f"{login}/site", "status": "approved"}],
        **changes,
    }
