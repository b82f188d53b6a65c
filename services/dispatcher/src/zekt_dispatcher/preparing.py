"""What an attempt needs before it may be stored: a body that fits, a token, and room in the budgets."""

import random
from collections.abc import Callable

import msgspec

from zekt_common.clock import Clock, utc_now
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.kit.identity_client import TokensRefused, TokensUnavailable
from zekt_common.ports import Payloads
from zekt_dispatcher.budgets import Budgets, Permit
from zekt_dispatcher.client_payload import SAFE_SIZE_BYTES, Undeliverable, dispatch_body, wants_content
from zekt_dispatcher.delivery_commands import Postpone, Refuse
from zekt_dispatcher.delivery_events import Category, Order
from zekt_dispatcher.standing import Standing
from zekt_dispatcher.tokens import DispatchTokens


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing stands in the way; the permit has to be released."""

    order: Order
    target: str
    body: bytes
    token: str
    permit: Permit

    def __repr__(self) -> str:
        return f"Ready({self.order.delivery_id})"


class Preparation:
    """Prepares attempts."""

    def __init__(  # noqa: PLR0913 - the optional ones are settings
        self,
        payloads: Payloads,
        tokens: DispatchTokens,
        budgets: Budgets,
        standing: Standing,
        *,
        public_url: str,
        safe_size_bytes: int = SAFE_SIZE_BYTES,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._payloads, self._tokens, self._budgets, self._standing = payloads, tokens, budgets, standing
        self._public_url = public_url
        self._safe_size_bytes = safe_size_bytes
        self._clock = clock
        self._jitter = jitter

    async def prepare(self, order: Order) -> Ready | Postpone | Refuse:
        """Return what the attempt needs, or why there can be none: not now, or not at all."""
        obstacle = await self._obstacle(order)
        if obstacle is not None:
            return obstacle
        try:
            body = await self._body(order)
            token = await self._tokens.token(order.installation_id, order.target_repository_id)
        except TokensUnavailable as error:
            return self._postpone("unavailable", f"no installation token: {error}", error.retry_after_s)
        except TokensRefused as error:
            return self._refuse("auth", f"no installation token: {error}")
        except (PayloadNotFound, KeyDestroyed):
            return self._refuse("gone", "the payload has expired or was erased")
        except Undeliverable as error:
            return self._refuse("invalid", str(error))
        return await self._with_permit(order, body, token)

    async def _obstacle(self, order: Order) -> Postpone | Refuse | None:
        """Return what stands in the way before anything is asked of anybody."""
        refusal = await self._standing.refusal(order)
        if refusal is not None:
            return self._refuse("auth", refusal)
        paused_s = self._budgets.paused_for_s(order.installation_id)
        if paused_s > 0:
            return self._postpone("rate_limit", "the installation pauses, as GitHub asked for", paused_s)
        return None

    async def _body(self, order: Order) -> bytes:
        content = None
        if order.payload_ref is not None and wants_content(order, self._safe_size_bytes):
            content = await self._payloads.get(order.payload_ref.account_id, order.payload_ref.sha256)
        return dispatch_body(order, content, public_url=self._public_url, safe_size_bytes=self._safe_size_bytes)

    async def _with_permit(self, order: Order, body: bytes, token: str) -> Ready | Postpone:
        permit = await self._budgets.acquire(order.installation_id, order.target_repository_id)
        if permit is None:
            paused_s = self._budgets.paused_for_s(order.installation_id)
            return self._postpone("busy", "too many attempts to this installation are under way", paused_s)
        target = await self._standing.target(order)
        return Ready(order=order, target=target, body=body, token=token, permit=permit)

    def _postpone(self, category: Category, reason: str, not_before_s: float) -> Postpone:
        return Postpone(
            at=self._clock(), category=category, reason=reason, jitter=self._jitter(), not_before_s=not_before_s
        )

    def _refuse(self, category: Category, reason: str) -> Refuse:
        return Refuse(at=self._clock(), category=category, reason=reason)
