"""GitHub's rate limits: the primary one on every answer, the secondary ones, and a repository's trigger events."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from zekt_sandbox.github.errors import DOCS, GitHubError, InvalidControlError

_HOUR_S = 3600
_MINUTE_S = 60
_TRIGGER_S = 10
_READ_POINTS = 1
_WRITE_POINTS = 5
_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """GitHub's published numbers; `enabled` False refuses nothing but still counts."""

    enabled: bool = True
    primary_per_hour: int = 5_000
    unauthenticated_per_hour: int = 60
    concurrent: int = 100
    points_per_minute: int = 900
    content_per_minute: int = 80
    content_per_hour: int = 500
    triggers_per_10_s: int = 1_500
    secondary_status: int = 403

    def changed(self, changes: dict[str, Any]) -> "Limits":
        """These limits with some replaced.

        Raises:
            InvalidControlError: a name is unknown or a value is not a number.
        """
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if type(value) is not kinds.get(name):
                raise InvalidControlError(f"{name!r} is not a limit, or {value!r} not a value of it")
        return replace(self, **changes)


class Window:
    """A fixed window that starts with its first request."""

    __slots__ = ("_period_s", "_started", "used")

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._started = -math.inf
        self.used = 0

    def roll(self, now: float) -> None:
        """Begin a new window if the old one is over."""
        if now >= self._started + self._period_s:
            self._started = now
            self.used = 0

    @property
    def resets_at(self) -> float:
        """When the current window is over."""
        return self._started + self._period_s


class Actor:
    """What one caller has used: an installation, the App itself, or everyone without credentials."""

    __slots__ = ("content_hour", "content_minute", "open", "points", "primary")

    def __init__(self) -> None:
        self.primary = Window(_HOUR_S)
        self.points = Window(_MINUTE_S)
        self.content_minute = Window(_MINUTE_S)
        self.content_hour = Window(_HOUR_S)
        self.open = 0


class RateLimiter:
    """Admits requests or refuses them as GitHub would."""

    def __init__(self, now: Callable[[], float], limits: Limits) -> None:
        self._now = now
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what was used; the limits stay."""
        self._actors: defaultdict[str, Actor] = defaultdict(Actor)
        self._triggers: defaultdict[int, Window] = defaultdict(lambda: Window(_TRIGGER_S))

    def enter(self, actor_key: str, *, write: bool, content: bool) -> None:
        """Count one request of an actor; `leave` must follow, admitted or not.

        Raises:
            GitHubError: a limit is used up.
        """
        now = self._now()
        actor = self._actors[actor_key]
        actor.open += 1
        self._take_primary(actor, actor_key, now)
        if self.limits.enabled and actor.open > self.limits.concurrent:
            raise self._secondary(1.0)
        self._take(actor.points, _WRITE_POINTS if write else _READ_POINTS, self.limits.points_per_minute)
        if content:
            self._take(actor.content_minute, 1, self.limits.content_per_minute)
            self._take(actor.content_hour, 1, self.limits.content_per_hour)

    def give_back(self, actor_key: str) -> None:
        """Take the actor's last request off the primary limit, as after a 304; the secondary ones still count it."""
        self._actors[actor_key].primary.used -= 1

    def leave(self, actor_key: str) -> None:
        """Note that a request of the actor is over."""
        self._actors[actor_key].open -= 1

    def trigger(self, repository_id: int) -> None:
        """Count one event that triggers workflows of a repository.

        Raises:
            GitHubError: 429, the repository had too many within ten seconds.
        """
        window = self._triggers[repository_id]
        window.roll(self._now())
        if self.limits.enabled and window.used >= self.limits.triggers_per_10_s:
            raise self._secondary(window.resets_at - self._now(), status=429)
        window.used += 1

    def headers(self, actor_key: str) -> dict[str, str]:
        """The `x-ratelimit-*` headers for an actor's answer."""
        window = self._actors[actor_key].primary
        limit = self._primary_limit(actor_key)
        used = min(window.used, limit)
        return {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(limit - used),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(math.ceil(window.resets_at)),
            "x-ratelimit-resource": "core",
        }

    def _primary_limit(self, actor_key: str) -> int:
        return self.limits.unauthenticated_per_hour if actor_key == ANONYMOUS else self.limits.primary_per_hour

    def _take_primary(self, actor: Actor, actor_key: str, now: float) -> None:
        actor.primary.roll(now)
        if self.limits.enabled and actor.primary.used >= self._primary_limit(actor_key):
            raise GitHubError(
                403, f"API rate limit exceeded for {actor_key}.", f"{DOCS}/overview/rate-limits-for-the-rest-api"
            )
        actor.primary.used += 1

    def _take(self, window: Window, cost: int, limit: int) -> None:
        window.roll(self._now())
        if self.limits.enabled and window.used + cost > limit:
            raise self._secondary(window.resets_at - self._now())
        window.used += cost

    def _secondary(self, wait_s: float, status: int | None = None) -> GitHubError:
        return secondary_limit(status or self.limits.secondary_status, max(1, math.ceil(wait_s)))


ANONYMOUS = "your address"


def secondary_limit(status: int, retry_after_s: int) -> GitHubError:
    """GitHub's refusal for a secondary limit, 403 or 429, with `Retry-After`."""
    docs = f"{DOCS}/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
    return GitHubError(status, _SECONDARY, docs, {"Retry-After": str(retry_after_s)})
