"""How MSAL reaches Entra ID and Azure's metadata endpoint: within bounded time, and nowhere else."""

import ssl
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

CONNECT_S: Final = 3.0
READ_S: Final = 5.0


class _Bounded(HTTPAdapter):
    """Bounds each request, since MSAL does not, and trusts `ca_file` whatever the environment's bundle is."""

    def __init__(self, ca_file: str | None) -> None:
        super().__init__()
        self._ca_file = ca_file

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"] = (CONNECT_S, READ_S)
        if self._ca_file is not None:
            options["verify"] = self._ca_file
        return super().send(request, *args, **options)


def bounded_session(ca_file: str | None, *, through_proxies: bool) -> requests.Session:
    """Return a session that trusts `ca_file`, or what this machine trusts, and follows no redirect with a secret."""
    session = requests.Session()
    session.verify = ssl.get_default_verify_paths().cafile or True
    session.trust_env = through_proxies
    session.max_redirects = 0
    session.headers["Connection"] = "close"  # once in an hour: nothing is worth keeping open
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Bounded(ca_file))
    return session
