"""`python -m zekt_cli.hosting.tethered MODULE ...`: MODULE as a process that ends when its parent is gone.

However that ended: a killed parent closes its end of the pipe just as well.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    """Read the pipe from the parent until the kernel closes it, then stop as if told to.

    The descriptor itself is read: a thread inside `sys.stdin` would make the interpreter's own end fatal.
    """
    while os.read(0, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
