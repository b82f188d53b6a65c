"""What the disk itself takes to make a small write last: the floor under everything that is durable."""

import os
import statistics
import time
from pathlib import Path

SIZE_BYTES = 12 * 1024
WRITES = 300


def fdatasync_ms(directory: Path) -> dict[str, float]:
    """Return how many milliseconds appending 12 KB and `fdatasync` took, at the median and the 99th percentile."""
    path, block = directory / "fdatasync", bytes(SIZE_BYTES)
    with path.open("wb", buffering=0) as file:
        taken = sorted(_append(file.fileno(), block) for _ in range(WRITES))
    path.unlink()
    return {"p50 ms": statistics.median(taken) * 1000, "p99 ms": taken[int(WRITES * 0.99)] * 1000}


def _append(descriptor: int, block: bytes) -> float:
    began = time.perf_counter()
    os.write(descriptor, block)
    os.fdatasync(descriptor)
    return time.perf_counter() - began
