"""Ports for processes that are started, killed and started again on them."""

from contextlib import ExitStack
from typing import Final

from zekt_common.kit.ports import held_port

_HELD: Final = ExitStack()


def free_port() -> int:
    """Return a port that nobody else is given while these tests run."""
    return _HELD.enter_context(held_port())
