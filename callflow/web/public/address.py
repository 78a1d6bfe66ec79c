"""Our public address: as it was set, learnt from a carrier's webhook, or opened by a tunnel."""

from __future__ import annotations

from typing import Final


_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")


class PublicAddress:
    """Where carriers reach us: as configured, else the tunnel, else as the newest verified webhook was addressed."""

    def __init__(self, configured: str, fallback: str) -> None:
        self._configured = configured
        self._learned = fallback
        self.tunnel = ""

    def __call__(self) -> str:
        return self.known or self._learned

    @property
    def known(self) -> str:
        """What somebody has said it is; "": nobody has."""
        return self._configured or self.tunnel

    def of(self, host: str, forwarded_proto: str) -> str:
        """How a request was addressed. What it says itself counts only where nothing is known: in development, behind
        a tunnel whose address nobody has put into PUBLIC_BASE_URL."""
        if self.known or not host:
            return self()
        local = host.rsplit(":", 1)[0] in _LOCAL
        scheme = forwarded_proto if forwarded_proto in ("http", "https") else "http" if local else "https"
        return f"{scheme}://{host}"

    def learn(self, address: str) -> None:
        """A verified webhook was addressed like that."""
        self._learned = address
