"""What opens a public address for a machine that has none."""

from __future__ import annotations

from typing import Protocol


class Tunnel(Protocol):
    """Lets the outside world reach a port of a machine that it cannot reach by itself."""

    name: str

    async def open(self, port: int) -> str:
        """Return the public https address that leads to that port of this machine. Raises TunnelError."""

    async def close(self) -> None:
        """Close the tunnel. Never raises."""
