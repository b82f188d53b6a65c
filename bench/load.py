"""A load generator light enough for one core: raw keep-alive connections, prepared requests, measured latencies."""

import asyncio
import contextlib
import gc
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

CONTENT_LENGTH = b"content-length:"


@dataclass
class LoadResult:
    """What came of a load: seconds from each request's due time to its whole answer, and the answers' statuses.

    `started` is when the first request was due, on `time.perf_counter`.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    started: float = 0.0
    elapsed_s: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        """Return the latency in milliseconds that `share` (0 to 1) of the answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its answer, the next request."""

    def __init__(self, result: LoadResult) -> None:
        self._result = result
        self._buffer = b""
        self._due = 0.0
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    async def exchange(self, request: bytes, due: float) -> None:
        self._due = due
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answered

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._buffer = b""
        self._result.latencies_s.append(time.perf_counter() - self._due)
        self._result.statuses[int(head[9:12])] += 1
        self.answered()

    def answered(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(CONTENT_LENGTH)
    return int(lowered[start + len(CONTENT_LENGTH) :].split(b"\r\n", 1)[0]) if start >= 0 else 0


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector still: its pauses over tens of thousands of requests would count as the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _ClosedConnection(_Connection):
    """A connection that sends its next request within the call that brought the last answer."""

    def __init__(self, result: LoadResult, requests: Iterator[bytes]) -> None:
        super().__init__(result)
        self._requests = requests
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._send_next()

    def answered(self) -> None:
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(None)
            self.close()
        else:
            self._due = time.perf_counter()
            self._transport.write(request)


async def closed_loop(port: int, requests: Iterator[bytes], *, count: int, connections: int = 64) -> LoadResult:
    """Send `count` requests, each connection sending its next as soon as it has its answer."""
    result = LoadResult()
    shared = itertools.islice(requests, count)
    loop = asyncio.get_running_loop()

    async def exchange() -> None:
        _, connection = await loop.create_connection(lambda: _ClosedConnection(result, shared), "127.0.0.1", port)
        await connection.done

    with _uncollected():
        started = result.started = time.perf_counter()
        await asyncio.gather(*(exchange() for _ in range(connections)))
        result.elapsed_s = time.perf_counter() - started
    return result


async def open_loop(
    port: int, requests: Iterator[bytes], *, rate: float, duration_s: float, connections: int = 64
) -> LoadResult:
    """Send requests at a fixed rate whatever the answers do; latency counts from when a request was due."""
    result = LoadResult()
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(result), "127.0.0.1", port)
        idle.put_nowait(connection)

    async def send(request: bytes, due: float) -> None:
        connection = await idle.get()
        await connection.exchange(request, due)
        idle.put_nowait(connection)

    sending = []
    with _uncollected():
        started = result.started = time.perf_counter()
        for number in range(int(rate * duration_s)):
            due = started + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            sending.append(asyncio.create_task(send(next(requests), due)))
        await asyncio.gather(*sending)
        result.elapsed_s = time.perf_counter() - started
    while not idle.empty():
        idle.get_nowait().close()
    return result
