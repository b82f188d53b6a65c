"""How MSAL reaches Entra ID and Azure's metadata endpoint: within bounded time, and nowhere else."""

import ssl
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

CONNECT_S: Final = 3.0
READ_S: Final = 8.0


class _Bounded(HTTPAdapter):
    """Bounds each request: MSAL sets no time limit of its own on a session that it is given."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"] = options.get("timeout") or (CONNECT_S, READ_S)
        return super().send(request, *args, **options)


def bounded_session(ca_file: str | None, *, through_proxies: bool) -> requests.Session:
    """Return a session that trusts `ca_file`, or what this machine trusts, and follows no redirect with a secret."""
    session = requests.Session()
    session.verify = ca_file or ssl.get_default_verify_paths().cafile or True
    session.trust_env = through_proxies
    session.max_redirects = 0
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Bounded())
    return session
