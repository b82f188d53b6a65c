"""How a service asks identity for installation tokens."""

import math
from typing import Final, Protocol

import aiohttp
import msgspec

from zekt_common.auth.service_tokens import ServiceTokens, ServiceTokenUnavailable
from zekt_common.contracts.identity import (
    INSTALLATION_TOKENS_PATH,
    NOT_THERE,
    InstallationToken,
    InstallationTokenRequest,
)
from zekt_common.errors import ZektError
from zekt_common.telemetry.tracing import span

TIMEOUT_S: Final = 15.0
DEFAULT_RETRY_AFTER_S: Final = 5.0
MAX_RETRY_AFTER_S: Final = 3600.0
_OK: Final = 200
_SERVER_ERROR: Final = 500
_OURS_TO_FIX: Final = (401, 403, 404, 405, 429)  # of identity's door, not of the installation: worth another try


class TokensUnavailable(ZektError):
    """No token now; ask again after `retry_after_s`."""

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TokensRefused(ZektError):
    """No token for this request, and asking again will not help: `code` is identity's stable error code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class InstallationTokens(Protocol):
    """Where installation tokens come from."""

    async def token(self, request: InstallationTokenRequest, /) -> InstallationToken:
        """Return a token of exactly the repositories and permissions asked for.

        Raises:
            TokensUnavailable: not now.
            TokensRefused: not at all.
        """
        ...


class _Error(msgspec.Struct):
    error: str = "unknown"
    detail: str = ""


class IdentityClient:
    """Installation tokens from the identity service's internal port, shown a service token with each call."""

    def __init__(self, http: aiohttp.ClientSession, identity_url: str, service_tokens: ServiceTokens) -> None:
        self._http = http
        self._url = f"{identity_url.rstrip('/')}{INSTALLATION_TOKENS_PATH}"
        self._service_tokens = service_tokens

    async def token(self, request: InstallationTokenRequest, /) -> InstallationToken:
        """Return a token of exactly the repositories and permissions asked for.

        Raises:
            TokensUnavailable: identity, GitHub or who issues service tokens cannot answer now.
            TokensRefused: GitHub or identity's rules say no.
        """
        with span("look_up_installation_token", purpose=request.purpose) as current:
            headers = {
                "Authorization": f"Bearer {await self._service_token()}",
                "Content-Type": "application/json",
                "traceparent": current.traceparent,
            }
            try:
                return await self._post(msgspec.json.encode(request), headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise TokensUnavailable(
                    f"identity cannot be reached: {type(error).__name__}", retry_after_s=DEFAULT_RETRY_AFTER_S
                ) from error

    async def _service_token(self) -> str:
        try:
            return await self._service_tokens.token()
        except ServiceTokenUnavailable as error:
            raise TokensUnavailable(
                "this service has no token to show identity now, and its log says why",
                retry_after_s=error.retry_after_s,
            ) from error

    async def _post(self, body: bytes, headers: dict[str, str]) -> InstallationToken:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._http.post(
            self._url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            content = await response.read()
            if response.status != _OK:
                raise _refusal(response.status, response.headers.get("Retry-After"), content)
        try:
            return msgspec.json.decode(content, type=InstallationToken)
        except msgspec.DecodeError as error:
            raise TokensUnavailable(
                "identity answered something else than a token", retry_after_s=DEFAULT_RETRY_AFTER_S
            ) from error


def _refusal(status: int, retry_after: str | None, content: bytes) -> TokensUnavailable | TokensRefused:
    try:
        error = msgspec.json.decode(content, type=_Error)
    except msgspec.DecodeError:
        error = _Error(detail=f"identity answered {status}")
    if status >= _SERVER_ERROR or (status in _OURS_TO_FIX and error.error not in NOT_THERE):
        return TokensUnavailable(f"{error.error}: {error.detail}", retry_after_s=_seconds(retry_after))
    return TokensRefused(error.error, error.detail)


def _seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or DEFAULT_RETRY_AFTER_S)
    except ValueError:
        return DEFAULT_RETRY_AFTER_S
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else DEFAULT_RETRY_AFTER_S
