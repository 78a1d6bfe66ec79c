"""Guards: the conditions under which a row of the table applies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.call.machine.model import (
    AWAITS_BEEP,
    CLIP,
    FALLBACK,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_PENDING,
    MESSAGE,
    ONE_MOMENT,
    RINGING,
    SPEAKING,
    TO_MACHINE,
    Model,
    Step,
)
from callflow.contracts.events import (
    AnsweredBy,
    CallRecovered,
    CallResumed,
    CallTurnedAway,
    CommandFailed,
    Dtmf,
    DtmfRequested,
    EngineLost,
    GoodbyeRequested,
    MuteRequested,
    NoInput,
    SayRequested,
    TransferRequested,
)


ACCEPT_KEY: Final = "1"
"""The key with which a person takes a call that is transferred to them."""

Guard = Callable[[Model, Step], bool]


def is_gone(model: Model, step: Step) -> bool:
    """Return whether the carrier no longer has this call."""
    return isinstance(step.event, CallRecovered) and step.event.found == "gone"


def is_given(model: Model, step: Step) -> bool:
    """Return whether a process that lives has given the call, and has missed nothing of it."""
    return isinstance(step.event, CallRecovered) and step.event.given


def still_rings(model: Model, step: Step) -> bool:
    """Return whether the carrier says that the call rings still."""
    return isinstance(step.event, CallRecovered) and step.event.found == "ringing"


def carrier_asks(model: Model, step: Step) -> bool:
    """Return whether the carrier asks what to do with the caller."""
    return isinstance(step.event, CallRecovered) and step.event.found == "asking"


def unanswered(model: Model, step: Step) -> bool:
    """Return whether no answer command was sent yet, and the call was not adopted."""
    return not model.answer_sent


def is_dialled(model: Model, step: Step) -> bool:
    """Return whether the call is an outbound one that still rings."""
    return bool(model.dialled)


def is_queued(model: Model, step: Step) -> bool:
    """Return whether the carrier has not begun to dial yet: the deadline of its queue is running."""
    return "queue" in model.armed


def streams_on_answer(model: Model, step: Step) -> bool:
    """Return whether the call is an outbound one that rings, and its stream was not requested with the dial."""
    return model.dialled == "on_answer"


def is_warm(model: Model, step: Step) -> bool:
    """Return whether a warm transfer is requested, or under way."""
    return step.event.mode == "warm" if isinstance(step.event, TransferRequested) else model.transfer == "warm"


def is_cold(model: Model, step: Step) -> bool:
    """Return whether a cold transfer is requested, or under way."""
    if isinstance(step.event, TransferRequested):
        return step.event.mode == "cold"
    return model.transfer in ("cold", "fallback")


def is_fallback(model: Model, step: Step) -> bool:
    """Return whether the caller is being connected with the fallback number, or talks with whoever has answered
    there."""
    return model.transfer == "fallback"


def has_fallback(model: Model, step: Step) -> bool:
    """Return whether more than an apology is set up for a caller whom this line cannot serve, and has not been
    tried."""
    return model.fallback is not None


def wants_fallback(model: Model, step: Step) -> bool:
    """Return whether the caller is not to be sent away, but to the fallback number, if there is one."""
    asked = isinstance(step.event, (GoodbyeRequested, CallTurnedAway)) and step.event.fall_back
    return model.fallback is not None and asked


def falls_back(model: Model, step: Step) -> bool:
    """Return whether the sentence that is being said is followed by the connection with the fallback number."""
    return model.fallback is not None and bool(model.fallback.number) and model.sentence in (ONE_MOMENT, FALLBACK)


def is_refer(model: Model, step: Step) -> bool:
    """Return whether a transfer by REFER is requested, or under way."""
    return step.event.mode == "refer" if isinstance(step.event, TransferRequested) else model.transfer == "refer"


def is_transferred(model: Model, step: Step) -> bool:
    """Return whether a transfer is under way, or the caller talks with a person."""
    return bool(model.transfer)


def takes_back(model: Model, step: Step) -> bool:
    """Return whether the agent has the caller again when the person hangs up (`transfer_take_back`)."""
    return model.takes_back


def has_talked(model: Model, step: Step) -> bool:
    """Return whether the caller has talked with the person, as the carrier says: it is over."""
    return isinstance(step.event, CallResumed) and step.event.talked


def accepts(model: Model, step: Step) -> bool:
    """Return whether the person has pressed the key that accepts."""
    return isinstance(step.event, Dtmf) and step.event.digit == ACCEPT_KEY


def human_is_there(model: Model, step: Step) -> bool:
    """Return whether the person is still on the line, as the carrier says."""
    return isinstance(step.event, CallRecovered) and step.event.human == "answered"


def human_has_left(model: Model, step: Step) -> bool:
    """Return whether the person is no longer on the line, as the carrier says: they hung up while nobody watched."""
    return isinstance(step.event, CallRecovered) and step.event.human == "gone"


def is_on_hold(model: Model, step: Step) -> bool:
    """Return whether the caller is on hold: its deadline is running."""
    return "hold" in model.armed


def lets_person_speak(model: Model, step: Step) -> bool:
    """Return whether a person speaks in place of the agent from now on."""
    return isinstance(step.event, MuteRequested) and step.event.for_person and step.event.on


def ends_take_over(model: Model, step: Step) -> bool:
    """Return whether the person who speaks in place of the agent gives the caller back."""
    return isinstance(step.event, MuteRequested) and step.event.for_person and not step.event.on


def person_speaks(model: Model, step: Step) -> bool:
    """Return whether a person speaks in place of the agent: the deadline of their talk is running, and the caller is
    here."""
    return "bridged" in model.armed


def engine_is_lost(model: Model, step: Step) -> bool:
    """Return whether the engine's session is lost, and no other one is being made."""
    return model.engine == "lost"


def ends_mute(model: Model, step: Step) -> bool:
    """Return whether a party is to be heard again."""
    return isinstance(step.event, MuteRequested) and not step.event.on


def carrier_can_say(model: Model, step: Step) -> bool:
    """Return whether the carrier's voice can say the text beside the media stream."""
    return isinstance(step.event, SayRequested) and step.event.otherwise == "carrier"


def carrier_sends_keys(model: Model, step: Step) -> bool:
    """Return whether the carrier sends the keys by a command."""
    return isinstance(step.event, DtmfRequested) and step.event.way == "carrier"


def agent_pressed(model: Model, step: Step) -> bool:
    """Return whether the keys that were refused are the agent's own."""
    return isinstance(step.event, CommandFailed) and step.event.by == "agent"


def is_adopted(model: Model, step: Step) -> bool:
    """Return whether the call was answered, but not by us."""
    return model.adopted


def in_farewell(model: Model, step: Step) -> bool:
    """Return whether the last sentence is decided on, said or not."""
    return bool(model.farewell)


def is_refused_for_room(model: Model, step: Step) -> bool:
    """Return whether the goodbye is requested because too many calls are live, or the caller has reached a limit."""
    return isinstance(step.event, GoodbyeRequested) and step.event.reason in REFUSED_FOR_ROOM


def carrier_speaks(model: Model, step: Step) -> bool:
    """Return whether the last sentence is being said by the carrier's own voice."""
    return model.farewell == SPEAKING


def clip_plays(model: Model, step: Step) -> bool:
    """Return whether the last sentence is being said by a clip."""
    return model.farewell == CLIP


def media_is_lost(model: Model, step: Step) -> bool:
    """Return whether the media stream is lost."""
    return model.media == "lost"


def agent_says_goodbye(model: Model, step: Step) -> bool:
    """Return whether the last sentence is being said by the agent."""
    return model.farewell in (FAREWELL_BY_AGENT, FAREWELL_BY_AGENT_FINAL)


def agent_silenced(model: Model, step: Step) -> bool:
    """Return whether the agent must not speak any more, but for the message: clip or carrier say the last sentence, or
    a machine has answered."""
    return model.farewell in (CLIP, SPEAKING, FAREWELL_PENDING, *TO_MACHINE)


def end_is_settled(model: Model, step: Step) -> bool:
    """Return whether the call ends, whatever the caller says."""
    return model.farewell in (CLIP, SPEAKING, FAREWELL_PENDING, FAREWELL_BY_AGENT_FINAL, *TO_MACHINE)


def media_is_open(model: Model, step: Step) -> bool:
    """Return whether the media stream is open."""
    return model.media == "open"


def engine_is_up(model: Model, step: Step) -> bool:
    """Return whether the engine's session is ready."""
    return model.engine == "ready"


def may_reconnect(model: Model, step: Step) -> bool:
    """Return whether the loss allows a retry, and the tries are not used up."""
    return isinstance(step.event, EngineLost) and step.event.retry and model.tries < model.engine_tries


def may_restream(model: Model, step: Step) -> bool:
    """Return whether the tries for streams are not used up."""
    return model.stream_restarts < model.stream_tries


def never_restreams(model: Model, step: Step) -> bool:
    """Return whether a lost stream ends the call: carrier or settings allow no second stream."""
    return model.stream_tries == 0


def asked_enough(model: Model, step: Step) -> bool:
    """Return whether the agent has asked often enough."""
    return isinstance(step.event, NoInput) and step.event.last


def stream_requested(model: Model, step: Step) -> bool:
    """Return whether another stream was requested, and its deadline has not passed."""
    return "restream" in model.armed


def engine_expected(model: Model, step: Step) -> bool:
    """Return whether a session of the engine is connecting or ready."""
    return model.engine in ("connecting", "ready")


def engine_awaited(model: Model, step: Step) -> bool:
    """Return whether a session of the engine is connecting."""
    return model.engine == "connecting"


def machine_matters(model: Model, step: Step) -> bool:
    """Return whether the call does something about machines, and the leg that we dialled rings or was answered."""
    event = step.event
    return isinstance(event, AnsweredBy) and bool(event.then) and (model.state != RINGING or bool(model.dialled))


def has_message(model: Model, step: Step) -> bool:
    """Return whether a message is left on machines."""
    return isinstance(step.event, AnsweredBy) and step.event.then == "message"


def may_begin(model: Model, step: Step) -> bool:
    """Return whether the machine records from now on."""
    return isinstance(step.event, AnsweredBy) and step.event.ready


def is_conversation(model: Model, step: Step) -> bool:
    """Return whether somebody has talked with the agent, as no machine does: the carrier's word comes too late, or is
    wrong."""
    return isinstance(step.event, AnsweredBy) and step.event.exchanges >= CONVERSATION


def is_machine(model: Model, step: Step) -> bool:
    """Return whether a machine has answered, and is left a message."""
    return model.farewell in TO_MACHINE


def awaits_beep(model: Model, step: Step) -> bool:
    """Return whether the message waits until the machine records."""
    return model.farewell == AWAITS_BEEP


def says_message(model: Model, step: Step) -> bool:
    """Return whether the message is being said to a machine."""
    return model.farewell == MESSAGE


CONVERSATION: Final = 3
"""After this many exchanges (`Conversation.exchanges`) the other end is a person."""
REFUSED_FOR_ROOM: Final = ("busy", "caller_busy", "caller_limit")
"""Reasons for which a caller hears that the line is busy."""
