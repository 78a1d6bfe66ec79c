"""Events of transfers: that one is wanted, and what the carrier says of the two legs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


class TransferRequested(Event, frozen=True, kw_only=True):
    """The caller is to be connected with a person.

    Warm: the person is rung and told who calls while the caller stays with the agent; both are joined when the person
    accepts. Cold: the carrier rings the person for the caller. Refer: the caller's own telephone system does, and we
    are out of the call.
    """

    name: ClassVar[str] = "transfer_requested"
    mode: Literal["warm", "cold", "refer"] = "warm"
    target: str = ""
    """The name of the person or desk."""
    number: str = ""
    """Their telephone number, in E.164; with `refer` their SIP address."""
    summary: Annotated[str, PRIVATE] = ""
    """What the person is told before they accept."""
    ring_seconds: int = 30
    takes_back: bool = True
    """The agent takes the caller back when the person hangs up."""
    by: str = ""
    """As of `GoodbyeRequested`, or `agent`."""
    notice: str = ""
    """What both sides are told as soon as they are joined, before it is listened to what they say; "": nobody
    listens."""


class CallBridged(Event, frozen=True, kw_only=True):
    """The carrier reports that this leg and another one hear each other."""

    name: ClassVar[str] = "call_bridged"


class CallReferred(Event, frozen=True, kw_only=True):
    """The carrier reports what has become of a REFER: the caller's telephone system has begun to call the other
    address, is connected with it (and done with us), or has not reached it."""

    name: ClassVar[str] = "call_referred"
    state: Literal["started", "completed", "failed"] = "started"
    code: str = ""
    """The SIP status that was heard of the new call, or of the REFER itself."""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return f"call_refer_{self.state}"
