"""Our public address: configured, of a tunnel, or learned from a carrier's webhook."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from callflow.cluster import node_paths
from callflow.config.validators import is_loopback


_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")


class PublicAddress:
    """The address at which carriers reach us (http or https, host and port, no path): PUBLIC_BASE_URL, else the
    tunnel's address, else the address to which the newest verified webhook was sent."""

    def __init__(self, configured: str, fallback: str, *, node: str = "") -> None:
        """`fallback`: the address until another is known. `node`: the name of this node in a cluster; "": there is
        none."""
        self._configured = configured
        self._learned = fallback
        self._route = node_paths.route(node)
        self.tunnel = ""

    def __call__(self) -> str:
        """Return the address for what is about one call of this process: in a cluster, it leads to this node."""
        return self.base() + self._route

    def base(self) -> str:
        """Return the address that is the same for all nodes."""
        return self.known or self._learned

    @property
    def known(self) -> str:
        """The configured address, or the tunnel's; "": there is neither."""
        return self._configured or self.tunnel

    def reached_at(self) -> str:
        """Return the address if carriers reach us there; "": none is known but one of this machine only. One that is
        configured is taken as it is."""
        found = self.base()
        return self.known or ("" if is_loopback(urlsplit(found).hostname or "") else found)

    def of(self, host: str, forwarded_proto: str) -> str:
        """Return the address to which a request was sent. The request's headers count only if no address is known: in
        development, behind a tunnel whose address is not in PUBLIC_BASE_URL."""
        if self.known or not host:
            return self.base()
        local = host.rsplit(":", 1)[0] in _LOCAL
        scheme = forwarded_proto if forwarded_proto in ("http", "https") else "http" if local else "https"
        return f"{scheme}://{host}"

    def learn(self, address: str) -> None:
        """Set the address to which a verified webhook was sent."""
        self._learned = address

    def relearn(self, address: str) -> None:
        """Set the address that the previous process knew, unless it is a loopback address."""
        parts = urlsplit(address)
        if not is_loopback(parts.hostname or ""):
            self.learn(f"{parts.scheme}://{parts.netloc}")
