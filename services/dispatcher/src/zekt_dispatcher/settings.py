"""The dispatcher's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from zekt_common.adapters.backend_settings import ON_THIS_MACHINE, BackendSettings
from zekt_common.auth.entra_settings import EntraClient
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_dispatcher.client_payload import LEAST_SAFE_SIZE_BYTES, SAFE_SIZE_BYTES
from zekt_dispatcher.delivery import Policy

ISSUER = "https://token.actions.githubusercontent.com"
MOST_SAFE_SIZE_BYTES = 65_000


@dataclass(frozen=True, kw_only=True)
class DispatcherSettings:
    """Whom the dispatcher speaks to, how consumers reach it, and how hard it tries."""

    host: HostSettings
    github_api_url: str = "https://api.github.com"
    identity_url: str = "http://127.0.0.1:8079"
    public_url: str = "http://127.0.0.1:8080"
    oidc_issuer: str = ISSUER
    oidc_audience: str = "api://zekt"
    concurrency: int = 32
    post_timeout_s: int = 10
    safe_size_bytes: int = SAFE_SIZE_BYTES
    policy: Policy = field(default_factory=Policy)
    backend: BackendSettings = ON_THIS_MACHINE
    entra: EntraClient | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "DispatcherSettings":
        """Return the settings in `env`.

        Raises:
            SettingsError: it names every variable that is missing or unusable.
        """
        reader = EnvironmentReader(env)
        host = HostSettings.read(reader)
        settings = cls(
            host=host,
            github_api_url=reader.secure_url("ZEKT_GITHUB_API_URL", default="https://api.github.com"),
            identity_url=reader.url("ZEKT_IDENTITY_URL", default=f"http://127.0.0.1:{host.internal_port}"),
            public_url=reader.url("ZEKT_PUBLIC_URL", default=f"http://127.0.0.1:{host.port}"),
            oidc_issuer=reader.url("ZEKT_GITHUB_OIDC_ISSUER", default=ISSUER),
            oidc_audience=reader.text("ZEKT_GITHUB_OIDC_AUDIENCE", default="api://zekt"),
            concurrency=reader.number("ZEKT_DISPATCHER_CONCURRENCY", default=32, maximum=1000),
            post_timeout_s=reader.number("ZEKT_DISPATCHER_POST_TIMEOUT_S", default=10, maximum=60),
            safe_size_bytes=reader.number(
                "ZEKT_DISPATCHER_SAFE_SIZE_BYTES",
                default=SAFE_SIZE_BYTES,
                minimum=LEAST_SAFE_SIZE_BYTES,
                maximum=MOST_SAFE_SIZE_BYTES,
            ),
            policy=_policy(reader),
            backend=BackendSettings.read(reader),
            entra=EntraClient.read(reader),
        )
        reader.check()
        return settings


def _policy(reader: EnvironmentReader) -> Policy:
    return Policy(
        max_attempts=reader.number("ZEKT_DISPATCHER_MAX_ATTEMPTS", default=10, maximum=100),
        max_age=timedelta(hours=reader.number("ZEKT_DISPATCHER_MAX_AGE_HOURS", default=48, maximum=24 * 90)),
    )
