"""Ingress as a process of its own: `python -m zekt_ingress`."""

import sys

from zekt_common.kit.host import run
from zekt_ingress.app import build_service
from zekt_ingress.settings import IngressSettings

if __name__ == "__main__":
    sys.exit(run(IngressSettings.from_env, build_service))
