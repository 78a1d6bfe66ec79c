"""The public app and the operators' app on one port, for an ASGI server of the user's own. The path decides."""

from __future__ import annotations

from typing import Any

from quart import Quart


_PUBLIC_API = ("/api/version", "/api/twiml", "/api/realtime/control")
"""Paths under /api/ that are the public app's."""
_CONSOLE = ("/api/", "/mcp", "/tools", "/logs", "/metrics")
"""What the paths of the operators' app begin with."""


class SideBySide:
    """ASGI, in front of the public app. That app answers everything until `open`, and then all paths but the
    operators'."""

    def __init__(self, public: Quart) -> None:
        """Put this in front of the public app."""
        self._public: Any = public.asgi_app
        self._console: Quart | None = None
        public.asgi_app = self  # type: ignore[method-assign]

    async def open(self, console: Quart) -> None:
        """Serve the operators' app as well, from now on."""
        await console.startup()
        self._console = console

    async def close(self) -> None:
        """Let the operators' app finish what it has begun."""
        if self._console is not None:
            await self._console.shutdown()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Give a request to the app whose path it has. WebSockets and lifespan are the public app's."""
        is_consoles = scope["type"] == "http" and _is_of_the_console(scope["path"])
        if is_consoles and self._console is not None:
            await self._console(scope, receive, send)
        else:
            await self._public(scope, receive, send)


def _is_of_the_console(path: str) -> bool:
    return path.startswith(_CONSOLE) and path.rstrip("/") not in _PUBLIC_API
