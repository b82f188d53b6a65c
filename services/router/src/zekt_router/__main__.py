"""The router as a process of its own: `python -m zekt_router`."""

import sys

from zekt_common.kit.host import run
from zekt_router.app import build_service
from zekt_router.settings import RouterSettings

if __name__ == "__main__":
    sys.exit(run(RouterSettings.from_env, build_service))
