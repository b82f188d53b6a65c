"""Where a suite listens and answers, decided before anything of it starts."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from zekt_common.kit.ports import held_port
from zekt_common.kit.settings import EnvironmentReader, HostSettings

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class SuiteUrls:
    """Where the suite's two ports answer on this machine."""

    public: str
    internal: str


def read_host(env: Mapping[str, str]) -> HostSettings:
    """Return where to listen and keep data.

    Raises:
        SettingsError: it names every unusable variable.
    """
    reader = EnvironmentReader(env)
    settings = HostSettings.read(reader)
    reader.check()
    return settings


def with_ports(env: Mapping[str, str], settings: HostSettings, held: ExitStack) -> dict[str, str]:
    """Return the environment with free ports in place of 0: the services must know each other's before they start.

    They stay ours until `held` closes.
    """
    chosen = {"ZEKT_PORT": settings.port, "ZEKT_INTERNAL_PORT": settings.internal_port}
    return {
        **env,
        **{name: str(port or held.enter_context(held_port(settings.host))) for name, port in chosen.items()},
    }


def urls_of(settings: HostSettings) -> SuiteUrls:
    """Return the URLs of both ports."""
    name = _WILDCARDS.get(settings.host, settings.host)
    shown = f"[{name}]" if ":" in name else name
    return SuiteUrls(f"http://{shown}:{settings.port}", f"http://{shown}:{settings.internal_port}")
