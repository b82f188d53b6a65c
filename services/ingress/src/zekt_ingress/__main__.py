"""Ingress as a process of its own: `python -m zekt_ingress`."""

import dataclasses
import sys
from collections.abc import Mapping

from zekt_common.kit.host import run
from zekt_ingress.app import build_service
from zekt_ingress.settings import IngressSettings


def _settings(env: Mapping[str, str]) -> IngressSettings:
    """Return the settings of a process that does nothing else: the relay gets a process of its own."""
    return dataclasses.replace(IngressSettings.from_env(env), own_relay=True)


if __name__ == "__main__":
    sys.exit(run(_settings, build_service))
