"""Both sides on one port, for an ASGI server of somebody else's: what the public app has no path for is the console's."""

from __future__ import annotations

from typing import Any

from quart import Quart


_PUBLIC_API = ("/api/version", "/api/twiml", "/api/realtime/control")
_CONSOLE = ("/api/", "/mcp", "/tools", "/logs", "/metrics")


class SideBySide:
    """ASGI, in front of the public app. Until `open`, and for every path that is not the console's, that app answers."""

    def __init__(self, public: Quart) -> None:
        self._public: Any = public.asgi_app
        self._console: Quart | None = None
        public.asgi_app = self  # type: ignore[method-assign]

    async def open(self, console: Quart) -> None:
        """Serve this one, too."""
        await console.startup()
        self._console = console

    async def close(self) -> None:
        """Let it end what it has begun."""
        if self._console is not None:
            await self._console.shutdown()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_consoles = scope["type"] == "http" and _is_of_the_console(scope["path"])
        if is_consoles and self._console is not None:
            await self._console(scope, receive, send)
        else:
            await self._public(scope, receive, send)


def _is_of_the_console(path: str) -> bool:
    return path.startswith(_CONSOLE) and not path.startswith(_PUBLIC_API)
