"""The types that `doctor` shares with the carriers' adapters: what a check has found, and the server as it is seen from
outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and in case that something is wrong with it, what to do."""

    about: str
    state: Literal["ok", "wrong", "note"]
    what: str
    remedy: str = ""
    key: str = ""
    """What stays the same while the words change; "": `about`."""

    @property
    def name(self) -> str:
        """Under which it is known from one look to the next."""
        return self.key or self.about


class Outside(Protocol):
    """The running server, as the world reaches it."""

    @property
    def address(self) -> str:
        """Our public address; "": not known."""

    @property
    def answers(self) -> bool:
        """Whether it is the running server that answers there. Else no probe can tell anything."""

    @property
    def believed(self) -> str:
        """What the running server takes for its public address."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the HTTP status that a webhook gets there; 0: nobody answers."""
