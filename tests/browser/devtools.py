"""Chromium's DevTools protocol, as far as the tests need it: JSON messages, each ended by a zero byte."""

import asyncio
import itertools
import json
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

ANSWERS_WITHIN_S = 60.0


class CommandRefused(Exception):
    """Chromium does not do what it was told."""


class DevTools:
    """Commands and events of one browser; a session is one tab of it."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._messages = process.stdin, process.stdout
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: defaultdict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)

    @classmethod
    @asynccontextmanager
    async def of(cls, process: Process) -> AsyncIterator["DevTools"]:
        """Listen to the browser until the block ends."""
        tools = cls(process)
        listening = asyncio.create_task(tools._listen())
        try:
            yield tools
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Return what the command results in."""
        number = next(self._ids)
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._commands.write(json.dumps(command).encode() + b"\0")
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            message = await answer
        if "error" in message:
            raise CommandRefused(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result

    async def event(self, session: str) -> dict[str, Any]:
        """Return the session's next event."""
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            return await self._events[session].get()

    async def _listen(self) -> None:
        while True:
            message = json.loads((await self._messages.readuntil(b"\0"))[:-1])
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._events[message.get("sessionId", "")].put_nowait(message)
