"""What a call writes down of its beginning and its end, and how it describes itself to operators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from callflow.agent.agent import Agent
from callflow.call import machine
from callflow.call.call_config import CallConfig
from callflow.call.outbound_order import OutboundOrder
from callflow.call.requests import Requests
from callflow.contracts.carrier import Carrier, CarrierCan
from callflow.contracts.events import CallRefused, CallTurnedAway, Event, LegIds
from callflow.journal import notes
from callflow.journal.notes import Note, UnknownNote
from callflow.media.relay import Relay
from callflow.media.relay_figures import summary


class Call(Protocol):
    """The call, as far as it is described here."""

    id: str
    carrier: Carrier
    ids: LegIds
    from_number: str
    to_number: str
    began: float
    """Unix time, in seconds."""
    config: CallConfig
    model: machine.Model
    agent: Agent
    relay: Relay
    requests: Requests

    @property
    def direction(self) -> str: ...


def without_voice(event: Event, can: frozenset[CarrierCan]) -> Event:
    """Return the first event of a caller who is turned away: without a voice of the carrier's, who could say the
    sentence, the line is busy."""
    if not isinstance(event, CallTurnedAway) or "speaks" in can:
        return event
    return CallRefused(reason=event.reason, why=event.why, from_number=event.from_number, to_number=event.to_number)


def began_note(call: Call, order: OutboundOrder | None, address: str) -> Note:
    """Return the note that has everything that a restore from the journal needs. `address`: our public address."""
    fallback = call.model.fallback or machine.Fallback(ring_seconds=0)
    return notes.Began(
        carrier=call.carrier.name,
        **asdict(call.ids),
        from_number=call.from_number,
        to_number=call.to_number,
        direction=call.direction,
        profile=call.config.profile,
        profile_version=call.config.profile_version,
        business=call.config.business,
        session_settings=dict(order.session) if order is not None else {},
        variables=dict(order.variables) if order is not None else {},
        order=order.fingerprint() if order is not None else "",
        record=order is not None and order.record,
        kept=dict(call.config.overrides or {}),
        engine_tries=call.model.engine_tries,
        stream_tries=call.model.stream_tries,
        suppress_noise=call.model.suppress_noise,
        fallback_number=fallback.number,
        fallback_seconds=fallback.ring_seconds,
        fallback_spoken=fallback.spoken,
        address=address,
    )


def ended_note(call: Call, *, until: float | None, notes_dropped: int) -> Note | UnknownNote:
    """Return the last note of a call. `until`: when it ended (Unix time, seconds), if that was before now."""
    known = {"cause": call.model.cause, "until": until, "notes_dropped": notes_dropped}
    media = {**summary(call.relay), **call.agent.turns.summary()}
    return notes.read({"event": notes.Ended.kind, **known, **media})


def describe(call: Call) -> dict[str, Any]:
    """Return a live call for operators: ids, carrier, direction, business, state, state of the conversation, whether
    the caller is on hold, who is muted, both numbers, beginning (Unix time, seconds) and cause ("" until the call
    ends)."""
    return {
        "id": call.id,
        "carrier": call.carrier.name,
        "carrier_id": call.ids.control,
        "direction": call.direction,
        "business": call.config.business,
        "state": call.model.state,
        "conversation": call.agent.conversation.state,
        "on_hold": call.requests.line.is_on_hold,
        "muted": call.requests.line.muted,
        "from": call.from_number,
        "to": call.to_number,
        "began": call.began,
        "cause": call.model.cause,
    }
