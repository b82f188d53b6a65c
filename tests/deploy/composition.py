"""The compose files as the tests read them."""

import re
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "deploy" / "docker"
FILES: Final = ("docker-compose.yml", "docker-compose.sqlite.yml")
SERVICES: Final = ("ingress", "identity", "router", "dispatcher")
_DEFAULT: Final = re.compile(r"\$\{\w+(?::-(?P<default>[^}]*)|:\?[^}]*)\}")


def composition(name: str) -> dict[str, Any]:
    """Return the file's content with its merges done and its variables as they are written."""
    loaded: dict[str, Any] = YAML(typ="safe").load((ROOT / name).read_text())
    return loaded


def environment(name: str, service: str) -> dict[str, str]:
    """Return the service's environment with every variable at its default, empty where there is none."""
    wanted = composition(name)["services"][service]["environment"]
    return {setting: _DEFAULT.sub(lambda found: found["default"] or "", str(text)) for setting, text in wanted.items()}
