"""The public app and the operators' app on one port, for an ASGI server of the user's own. The path decides."""

from __future__ import annotations

from typing import Any

from quart import Quart


_PUBLIC_API = ("/api/version", "/api/twiml", "/api/realtime/control")
"""Paths under /api/ that belong to the public app."""
_CONSOLE = ("/api/", "/mcp", "/tools", "/logs", "/metrics", "/login", "/logout", "/share/")
"""Prefixes of the paths of the operators' app."""


class OnePort:
    """ASGI middleware in front of the public app. The public app answers all requests until `open`, then all but the
    operators' paths."""

    def __init__(self, public: Quart) -> None:
        """Install the middleware in front of the public app."""
        self._public: Any = public.asgi_app
        self._console: Quart | None = None
        public.asgi_app = self  # type: ignore[method-assign]

    async def open(self, console: Quart) -> None:
        """Serve the operators' app as well, from now on."""
        await console.startup()
        self._console = console

    async def close(self) -> None:
        """Shut the operators' app down after its running tasks."""
        if self._console is not None:
            await self._console.shutdown()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request to the app that its path belongs to. The lifespan goes to the public app."""
        is_consoles = scope["type"] != "lifespan" and _is_of_the_console(scope["path"])
        if is_consoles and self._console is not None:
            await self._console(scope, receive, send)
        else:
            await self._public(scope, receive, send)


def _is_of_the_console(path: str) -> bool:
    return path.startswith(_CONSOLE) and path.rstrip("/") not in _PUBLIC_API
