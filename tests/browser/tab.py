"""A person's browser, with cookies of its own, showing one page."""

from collections.abc import Awaitable
from typing import Any

from tests.browser.devtools import DevTools


class NotReached(Exception):
    """The browser shows no page of that address."""


class Tab:
    """One tab of a browser that nobody else shares cookies with."""

    def __init__(self, tools: DevTools, context: str, session: str) -> None:
        self._tools = tools
        self._context = context
        self._session = session
        self._frame = self._shown = ""

    @classmethod
    async def open(cls, tools: DevTools) -> "Tab":
        """Open an empty tab of a browser that has no cookies yet."""
        context = (await tools.call("Target.createBrowserContext"))["browserContextId"]
        target = await tools.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await tools.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = cls(tools, context, attached["sessionId"])
        await tab._watch()
        return tab

    async def visit(self, url: str) -> None:
        """Type in an address, and wait until its page is loaded.

        Raises:
            NotReached: nobody answers there.
        """
        await self._navigated(self._go(url))

    async def click(self, selector: str) -> None:
        """Click what leads to another page, and wait until that is loaded."""
        await self._navigated(self.run(f"document.querySelector({selector!r}).click()"))

    async def run(self, script: str) -> Any:
        """Run a script in the page and return what its last expression comes to, once that is settled."""
        answer = await self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def url(self) -> str:
        """Return the address of the page."""
        address: str = await self.run("location.href")
        return address

    async def text(self) -> str:
        """Return what the page reads."""
        read: str = await self.run("document.body.innerText")
        return read

    async def cookies(self) -> dict[str, dict[str, Any]]:
        """Return the browser's cookies by name, as it stores them."""
        kept = await self._tools.call("Storage.getCookies", browserContextId=self._context)
        return {cookie["name"]: cookie for cookie in kept["cookies"]}

    async def put(self, cookie: dict[str, Any]) -> None:
        """Put a cookie into the browser's store that was in it before."""
        names = ("name", "value", "domain", "path", "secure", "httpOnly", "sameSite", "expires")
        kept = {name: cookie[name] for name in names}
        await self._tools.call("Storage.setCookies", browserContextId=self._context, cookies=[kept])

    async def _watch(self) -> None:
        await self._call("Page.enable")
        await self._call("Page.setLifecycleEventsEnabled", enabled=True)
        frame = (await self._call("Page.getFrameTree"))["frameTree"]["frame"]
        self._frame, self._shown = frame["id"], frame["loaderId"]

    async def _go(self, url: str) -> None:
        answer = await self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise NotReached(f"{url}: {answer['errorText']}")

    async def _navigated(self, act: Awaitable[object]) -> None:
        await act
        while True:
            event = await self._tools.event(self._session)
            told = event["params"]
            if (event["method"], told.get("name"), told.get("frameId")) != ("Page.lifecycleEvent", "load", self._frame):
                continue
            if told["loaderId"] != self._shown:
                self._shown = told["loaderId"]
                return

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._tools.call(method, self._session, **parameters)
