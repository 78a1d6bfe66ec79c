"""Where the webhooks and media sockets of the page's phone come in: on the operators' listener, under a key.

The key is made at each start and told to nobody but the emulated carrier in this process. What comes under it is not
asked for a token, because it is signed as a carrier's requests are; without the key there is nothing here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol


PREFIX: Final = "/phone/"


class PhoneMount(NamedTuple):
    """A key, and the ASGI app that takes what comes under it, at paths without it."""

    key: str
    app: Any


class HasPhoneMount(Protocol):
    """A line on which the page can ring this server."""

    @property
    def mount(self) -> PhoneMount | None: ...


class PhoneMiddleware:
    """ASGI middleware in front of everything that the operators' listener serves."""

    def __init__(self, inner: Any, line: Callable[[], HasPhoneMount | None]) -> None:
        """`line`: returns None where the page has no phone."""
        self._inner, self._line = inner, line

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request or one WebSocket."""
        line = self._line() if scope["type"] != "lifespan" and scope["path"].startswith(PREFIX) else None
        mount = line.mount if line is not None else None
        within = _within(scope, mount.key) if mount is not None else None
        if mount is None or within is None:
            await self._inner(scope, receive, send)
        else:
            await mount.app(within, receive, send)


def _within(scope: Any, key: str) -> Any:
    """Return the scope with the path behind the key; None: another key, or none."""
    start = f"{PREFIX}{key}"
    given = scope["raw_path"][: len(start)]
    if not (hmac.compare_digest(given, start.encode()) and scope["path"].startswith(f"{start}/")):
        return None
    return {**scope, "path": scope["path"][len(start) :], "raw_path": scope["raw_path"][len(start) :]}
