"""Our public address: as it is configured, as a tunnel has it, or as a carrier's webhook was addressed."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from callflow.config.validators import is_loopback


_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")


class PublicAddress:
    """Where carriers reach us (http or https, host and port, no path): the address of PUBLIC_BASE_URL, else the
    tunnel's, else the one that the newest verified webhook was sent to."""

    def __init__(self, configured: str, fallback: str) -> None:
        """`fallback`: as long as nothing else is known."""
        self._configured = configured
        self._learned = fallback
        self.tunnel = ""

    def __call__(self) -> str:
        return self.known or self._learned

    @property
    def known(self) -> str:
        """The address that is configured or a tunnel's; "": there is neither."""
        return self._configured or self.tunnel

    def of(self, host: str, forwarded_proto: str) -> str:
        """Return the address that a request was sent to. Its own headers count only where no address is known: in
        development, behind a tunnel whose address is not in PUBLIC_BASE_URL."""
        if self.known or not host:
            return self()
        local = host.rsplit(":", 1)[0] in _LOCAL
        scheme = forwarded_proto if forwarded_proto in ("http", "https") else "http" if local else "https"
        return f"{scheme}://{host}"

    def learn(self, address: str) -> None:
        """Take the address that a verified webhook was sent to."""
        self._learned = address

    def relearn(self, address: str) -> None:
        """Take the address that the process before knew, unless that is this machine's own."""
        if not is_loopback(urlsplit(address).hostname or ""):
            self.learn(address)
