"""What a carrier does by itself when this server does not answer: another address that it asks, or a number that it
rings. Both are fields of resources at the carrier; what they held before is kept, so that it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from callflow.contracts.numbers import Part, Value


def _nobody(own: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Failover:
    """What is wanted."""

    address: str
    """Our public address (`https://host`), by which our resources are known; "": not known."""
    url: str
    """A second server (scheme and host), or a document; "": neither."""
    number: Callable[[str], str] = _nobody
    """Returns whom to ring in place of one of our numbers, both in E.164; "": nobody."""

    @property
    def is_server(self) -> bool:
        """Whether the URL is that of a second server, to which each carrier adds its own path."""
        parts = urlsplit(self.url)
        return bool(self.url) and not (parts.path.strip("/") or parts.query)


@dataclass(frozen=True, slots=True)
class Provision:
    """One resource of a carrier, with its fields that decide this, before and after."""

    carrier: str
    about: str
    """What people call it: `number +15550100002`."""
    part: Part
    at: float = 0.0
    """When it was changed, in Unix time (seconds); 0: it was not."""


@dataclass(frozen=True, slots=True)
class FailoverPlan:
    """What is to be changed in one account, in this order."""

    provisions: tuple[Provision, ...]
    notes: tuple[str, ...] = ()
    """What cannot be set here, and what to do about it: a sentence each."""


class FailoverAccount(Protocol):
    """The failover of one carrier's account. Every method raises CarrierError."""

    async def plan(self, wanted: Failover) -> FailoverPlan:
        """Look up what is set, and what has to be changed; nothing is changed yet."""

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of this part hold now."""

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Set fields of a resource, and leave all others as they are."""
