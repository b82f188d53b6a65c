"""HTTP refusals: `{"error": "<stable code>", "detail": "<what to do>"}`."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from zekt_common.errors import ZektError


class Refusal(ZektError):
    """An HTTP request is refused; the host turns it into a JSON answer.

    `code` is the stable code that is noted, where the answer's `error` is a sentence.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.code = code or error
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the answer; without a detail it is the published client's `{"error": "<sentence>"}`."""
        fields = {"error": self.error, "detail": self.detail} if self.detail else {"error": self.error}
        return json_response(fields, status=self.status, headers=self.headers)


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `body` as a JSON response, encoded by msgspec."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=dict(headers or {})
    )
