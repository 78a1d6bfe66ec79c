"""The numbers of a carrier's account: where their calls go, and what changes when one is pointed at this server.

A number's calls go where several resources at the carrier say together: the number itself, and at some carriers an
application. To point a number is to change fields of these; what they held before is kept, so that it can be undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


Value = str | bool
"""What a field holds; "": nothing."""


@dataclass(frozen=True, slots=True)
class OwnNumber:
    """A number of the account."""

    carrier: str
    id: str
    """The carrier's own."""
    number: str
    """In E.164."""
    name: str
    """The name that people have given it; "": none."""
    leads_to: str
    """Where its calls go: a URL, or a trunk, connection or application in words; "": nowhere."""
    is_here: bool
    """Whether its calls come to this server."""
    overrides: tuple[str, ...] = ()
    """What makes its calls go elsewhere, or unread, whatever its webhook says: a few words each."""
    lacks: tuple[str, ...] = ()
    """What else is not as this server needs it: a few words each."""


@dataclass(frozen=True, slots=True)
class Part:
    """The fields of one resource of the carrier's, before and after a number is pointed here."""

    resource: str
    """Kind and id, such as `number/PN0…`."""
    before: Mapping[str, Value]
    after: Mapping[str, Value]

    @property
    def changes(self) -> dict[str, Value]:
        """The fields that become different, with what they hold then."""
        return {name: value for name, value in self.after.items() if self.before.get(name) != value}


@dataclass(frozen=True, slots=True)
class PointingPlan:
    """What has to be changed so that the calls of a number come to `address`."""

    number: OwnNumber
    address: str
    parts: tuple[Part, ...]
    """In the order in which they are changed."""
    consequences: tuple[str, ...] = ()
    """What else that does, beyond the webhook of this number: a few words each. It needs somebody's yes."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """A number that was pointed at this server, and what its carrier held before."""

    carrier: str
    number: str
    address: str
    parts: tuple[Part, ...]
    at: float
    """Unix time, in seconds."""
    temporary: bool = False
    """Only until the server stops. A number may be pointed for good and, on top of that, for the time being."""


class NumberAccount(Protocol):
    """The numbers of one carrier's account. Every method raises CarrierError."""

    async def list_numbers(self, address: str) -> Sequence[OwnNumber]:
        """List all numbers. `address`: our public address; "": not known, so that none is here."""

    async def plan(self, number: str, address: str) -> PointingPlan | None:
        """Look up what has to be changed so that the calls of a number (E.164) come to `address`; nothing is changed
        yet. None: the account has no such number."""

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of this part hold now."""

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Set fields of a resource, and leave all others as they are."""

    async def release(self, number_id: str) -> None:
        """Give a number back to the carrier, which cannot be undone. `number_id`: the carrier's own."""
