"""Events of the calls that we dial: that one is wanted, who has answered it, and the message on a machine."""

from __future__ import annotations

from typing import ClassVar, Literal

from callflow.contracts.event import Event


class DialRequested(Event, frozen=True, kw_only=True):
    """Somebody wants this call: the first event of an outbound call, whose caller's leg is the one that is dialled."""

    name: ClassVar[str] = "dial_requested"
    from_number: str = ""
    """Our number, which the other end sees."""
    to_number: str = ""
    streams: Literal["with_dial", "on_answer", "sip"] = "with_dial"
    """How the media stream is opened: requested together with the dial, or by the reply to the carrier's question
    after the answer. sip: not at all, because whoever answers is led to the engine's SIP address."""
    ring_seconds: int = 30
    """How long the carrier lets it ring."""
    queues: bool = False
    """The carrier may keep it in a queue before it dials, and says when it begins (`CallInitiated`)."""
    record: bool = False
    """The carrier records the call, from the answer on."""
    machines: Literal["", "hang_up", "message"] = ""
    """As of `Dial`."""
    by: str = ""
    """As of `GoodbyeRequested`."""


class AnsweredBy(Event, frozen=True, kw_only=True):
    """The carrier has listened to who answered a call that we dialled (answering machine detection, AMD).

    The carrier says `who` and `ready`; the call adds the rest.
    """

    name: ClassVar[str] = "answered_by"
    who: Literal["human", "machine", "fax", "unsure"] = "unsure"
    ready: bool = False
    """A message may begin now: the machine has beeped, or its greeting is over."""
    heard: str = ""
    """The carrier's own word for it."""
    then: Literal["", "hang_up", "message"] = ""
    """What the call does about a machine; "": nothing, because it is not asked for."""
    exchanges: int = 0
    """As of `Conversation.exchanges`: how far the conversation has come meanwhile."""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return f"answered_by_{self.who}"


class MessageLeft(Event, frozen=True, kw_only=True):
    """The answering machine has been played the whole message."""

    name: ClassVar[str] = "message_left"
