"""The ways in which credentials are refused; raised from a handler, each is an HTTP answer already."""

from zekt_common.kit.errors import Refusal


class TokenRefused(Refusal):
    """There is no token, or not one to be believed; `detail` says what to do about it."""

    def __init__(self, detail: str) -> None:
        super().__init__(401, "token_refused", detail, headers={"WWW-Authenticate": "Bearer"})


class RoleMissing(Refusal):
    """The caller is known, but may not do this; `caller` is what its token calls it."""

    def __init__(self, role: str, *, caller: str | None = None, detail: str = "") -> None:
        super().__init__(403, "role_missing", detail or f"The token lacks the role {role}.")
        self.caller = caller


class IssuerUnreachable(Refusal):
    """The issuer's keys cannot be had now, so no token can be checked; the caller should try again."""

    def __init__(self, issuer: str, retry_after_s: int) -> None:
        super().__init__(
            503,
            "issuer_unreachable",
            f"The keys of {issuer} cannot be fetched, so tokens cannot be verified now. Try again shortly.",
            headers={"Retry-After": str(retry_after_s)},
        )
        self.retry_after_s = retry_after_s
