"""Identity as a process of its own: `python -m zekt_identity`."""

import sys

from zekt_common.kit.host import run
from zekt_identity.app import build_service
from zekt_identity.settings import IdentitySettings

if __name__ == "__main__":
    sys.exit(run(IdentitySettings.from_env, build_service))
