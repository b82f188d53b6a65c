"""The suite over HTTP, as commands see it: JSON in, JSON out, and every failure an exit code."""

import http.client
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from zekt_cli.addresses import SERVICES, service_of
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.suite import SuiteAddress

TIMEOUT_S = 10.0
Kind = TypeVar("Kind")
_FAILED_FROM = 400
_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _GATEWAY_TIMEOUT = 400, 401, 403, 504


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON body, None when there is no JSON."""
        try:
            return msgspec.json.decode(self.content) if self.content else None
        except msgspec.DecodeError:
            return None

    def decoded(self, kind: type[Kind]) -> Kind:
        """Return the body of a successful answer as `kind`.

        Raises:
            CommandFailed: it is an error, or no `kind`.
        """
        if self.status >= _FAILED_FROM:
            raise refused(self)
        try:
            return msgspec.json.decode(self.content, type=kind)
        except msgspec.DecodeError as error:
            raise CommandFailed(Exit.CHECK_FAILED, f"the suite answered something unexpected: {error}") from error

    @property
    def detail(self) -> str:
        """What the other side said went wrong, in its own words."""
        fields = self.body if isinstance(self.body, dict) else {}
        said = [str(fields[key]) for key in ("error", "message", "detail") if fields.get(key)]
        return ": ".join(said) or f"HTTP {self.status}"


class HttpClient:
    """One HTTP peer; every request has its own connection, so that a restart in between does no harm."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._headers = {"Accept": "application/json", **(headers or {})}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Return the answer, whatever its status; `body` is sent as JSON.

        Raises:
            CommandFailed: 3 when there is no answer, 4 when it takes longer than `timeout_s`.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        kind = {"Content-Type": "application/json"} if encoded is not None else {}
        connection = self._connection(timeout_s)
        try:
            connection.request(method, self._target(path, query), encoded, {**self._headers, **kind})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except TimeoutError as error:
            raise CommandFailed(Exit.TIMED_OUT, f"{self.url} did not answer within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(Exit.UNREACHABLE, f"{self.url} is not reachable: {error}") from error
        finally:
            connection.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the body of a successful answer.

        Raises:
            CommandFailed: as `request`; 5 when it is refused, 4 when it timed out there, 1 for other errors.
        """
        answer = self.request(method, path, **options)
        if answer.status >= _FAILED_FROM:
            raise refused(answer)
        return answer.body

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        wanted = {key: value for key, value in (query or {}).items() if value is not None}
        prefix = urlsplit(self.url).path.rstrip("/")
        return prefix + path + (f"?{urlencode(wanted)}" if wanted else "")

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(Exit.USAGE, f"{self.url!r} is no http(s) URL")
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)


class SuiteClient(HttpClient):
    """A suite as whoever the address has a token of; a service is asked at its own URL, if it has one."""

    def __init__(self, address: SuiteAddress) -> None:
        authorization = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        super().__init__(address.url, headers=authorization)
        self._services = {name: HttpClient(url, headers=authorization) for name, url in address.services.items()}

    @property
    def peers(self) -> Sequence[HttpClient]:
        """Whoever answers for the suite's services, each once.

        Raises:
            CommandFailed: 2 when nothing says where one of them is.
        """
        return list({peer.url: peer for peer in map(self._peer, SERVICES)}.values())

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Return the answer of the service that serves the path; see `HttpClient`."""
        peer = self._peer(service_of(path))
        return super().request(method, path, **options) if peer is self else peer.request(method, path, **options)

    def _peer(self, service: str | None) -> HttpClient:
        if service in self._services:
            return self._services[service]
        if not self.url:
            hint = f"--url {service}=URL" if service else "--url URL"
            raise CommandFailed(Exit.USAGE, f"nothing says where {service or 'the suite'} is: say so with {hint}")
        return self


def refused(answer: Answer) -> CommandFailed:
    """Return the failure that this answer means."""
    if answer.status in (_UNAUTHORISED, _FORBIDDEN):
        hint = "run `zekt login`, or use the operator token of the suite's data directory (--data-dir) on its machine"
        return CommandFailed(Exit.REFUSED, f"refused: {answer.detail} ({hint})")
    codes = {_BAD_REQUEST: Exit.USAGE, _GATEWAY_TIMEOUT: Exit.TIMED_OUT}
    return CommandFailed(codes.get(answer.status, Exit.CHECK_FAILED), answer.detail)
