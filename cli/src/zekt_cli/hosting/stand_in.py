"""The GitHub stand-in's process: it ends when the process that started it is gone, however that ended."""

import os
import signal
import sys
import threading

from zekt_sandbox.__main__ import main


def _end_with_parent() -> None:
    """Read the pipe from the parent until the kernel closes it, then stop as if told to.

    The descriptor itself is read: a thread inside `sys.stdin` would make the interpreter's own end fatal.
    """
    while os.read(0, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main())
