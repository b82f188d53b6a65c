"""The dispatcher as a process of its own: `python -m zekt_dispatcher`."""

import sys

from zekt_common.kit.host import run
from zekt_dispatcher.app import build_service
from zekt_dispatcher.settings import DispatcherSettings

if __name__ == "__main__":
    sys.exit(run(DispatcherSettings.from_env, build_service))
