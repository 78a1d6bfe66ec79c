"""The rows of what operators and tools do with the line: hold, mute, words and keys.

A caller is on hold while the deadline `hold` is armed: no state of its own, so that engine and stream may be lost and
come back meanwhile as ever, and hold is never without an end. After its deadline the agent has the caller back. The
agent is not prompted during it, and a last sentence, a hang-up or a transfer that fails ends it like any conversation.
What is muted decides nothing, so the machine does not remember it: `media/audio_gates.py` does.

A person speaks in place of the agent while the deadline `bridged` is armed in a state with the agent, as long as they
may in `bridged` itself. Meanwhile the call's time limit is not counted, and the call goes on without the model if that
is lost. Giving the caller back then asks for a session once more.
"""

from __future__ import annotations

from typing import Final

from callflow.call.machine.action_parts import arm, connect_engine, disarm
from callflow.call.machine.actions import note_failure, start_clock
from callflow.call.machine.guards import (
    agent_pressed,
    carrier_can_say,
    carrier_sends_keys,
    ends_mute,
    ends_take_over,
    engine_is_lost,
    engine_is_up,
    in_farewell,
    is_on_hold,
    is_transferred,
    lets_person_speak,
    media_is_open,
    person_speaks,
)
from callflow.call.machine.model import (
    BRIDGED,
    HANGUP,
    RECOVERING,
    STREAMING,
    TRANSFERRING,
    Model,
    Step,
)
from callflow.call.machine.row import FLOWING, LIVE, Row
from callflow.contracts import commands as do
from callflow.contracts.events import DtmfRequested, MuteRequested, SayRequested


def hold(model: Model, step: Step) -> None:
    """Put the caller on hold, for a limited time."""
    step.commands.append(do.Hold())
    arm(model, step, "hold")


def unhold(model: Model, step: Step) -> None:
    """Give the caller back to the agent, which says so if it can be heard; else it resumes when it can. To a person who
    speaks in its place they go back without a word."""
    disarm(model, step, "hold")
    step.commands.append(do.Unhold())
    can_speak = step.before == STREAMING and (model.engine, model.media) == ("ready", "open")
    if can_speak and not person_speaks(model, step):
        step.commands.append(do.Prompt(about="held"))


def mute(model: Model, step: Step) -> None:
    """Mute or unmute one party."""
    if isinstance(step.event, MuteRequested):
        step.commands.append(do.Mute(party=step.event.party, on=step.event.on))


def let_person_speak(model: Model, step: Step) -> None:
    """Stop counting the call's time limit while a person speaks; whoever comes back from a person is not greeted."""
    model.greeted, model.back = True, False
    for deadline in ("warning", "call"):
        disarm(model, step, deadline)
    arm(model, step, "bridged")


def end_take_over(model: Model, step: Step) -> None:
    """Give the caller back to the agent, whose time goes on."""
    if "bridged" in model.armed:
        disarm(model, step, "bridged")
        start_clock(model, step)


def ask_for_engine(model: Model, step: Step) -> None:
    """Try the engine once more: it was lost while a person spoke."""
    model.tries = 0
    connect_engine(model, step)


def say(model: Model, step: Step) -> None:
    """Say a text to the caller, word for word, on the media stream."""
    if isinstance(step.event, SayRequested):
        step.commands.append(do.Say(id=step.event.id))


def announce(model: Model, step: Step) -> None:
    """Say a text to the caller with the carrier's voice."""
    if isinstance(step.event, SayRequested):
        step.commands.append(do.Announce(id=step.event.id))


def send_dtmf(model: Model, step: Step) -> None:
    """Let the carrier send the tones of keys to the other end."""
    if isinstance(step.event, DtmfRequested):
        step.commands.append(do.SendDtmf(id=step.event.id))


def tell_keys_failed(model: Model, step: Step) -> None:
    """Tell the agent, who believes that the other end has heard them."""
    step.commands.append(do.Prompt(about="keys_failed"))


def play_dtmf(model: Model, step: Step) -> None:
    """Play the tones of keys on the media stream."""
    if isinstance(step.event, DtmfRequested):
        step.commands.append(do.PlayDtmf(id=step.event.id))


LINE_TABLE: Final[tuple[Row, ...]] = (
    Row(
        "hold_requested",
        STREAMING,
        None,
        (hold,),
        when=(engine_is_up, media_is_open),
        unless=(in_farewell, is_transferred, is_on_hold),
    ),
    Row("resume_requested", FLOWING, None, (unhold,), when=(is_on_hold,)),
    Row("hold_deadline", FLOWING, None, (unhold,)),
    Row(
        "mute_requested",
        FLOWING,
        None,
        (mute, let_person_speak),
        when=(lets_person_speak,),
        unless=(in_farewell, is_transferred, is_on_hold),
    ),
    Row(
        "mute_requested",
        FLOWING,
        RECOVERING,
        (mute, end_take_over, ask_for_engine),
        when=(ends_take_over, engine_is_lost),
        unless=(in_farewell,),
    ),
    Row("mute_requested", FLOWING, None, (mute, end_take_over), when=(ends_take_over,), unless=(in_farewell,)),
    Row("mute_requested", FLOWING, None, (mute,), unless=(in_farewell,)),
    # Whoever has muted the agent may give the caller back while a person has them: the agent gets them back later.
    Row("mute_requested", (TRANSFERRING, BRIDGED), None, (mute,), when=(ends_mute,)),
    # The agent's own voice says it; the carrier's while the agent is away.
    Row(
        "say_requested",
        STREAMING,
        None,
        (say,),
        when=(engine_is_up, media_is_open),
        unless=(in_farewell, is_on_hold),
    ),
    Row(
        "say_requested",
        FLOWING,
        None,
        (announce,),
        when=(media_is_open, carrier_can_say),
        unless=(in_farewell, is_on_hold),
    ),
    Row(
        "dtmf_requested",
        FLOWING,
        None,
        (send_dtmf,),
        when=(media_is_open, carrier_sends_keys),
        unless=(in_farewell, is_on_hold),
    ),
    Row("dtmf_requested", FLOWING, None, (play_dtmf,), when=(media_is_open,), unless=(in_farewell, is_on_hold)),
    Row(
        "send_dtmf_failed",
        STREAMING,
        None,
        (tell_keys_failed,),
        when=(engine_is_up, agent_pressed),
        unless=(in_farewell, is_on_hold, person_speaks),
    ),
    Row("announce_gone", LIVE, HANGUP, (note_failure,)),
    Row("send_dtmf_gone", LIVE, HANGUP, (note_failure,)),
    Row("suppress_noise_gone", LIVE, HANGUP, (note_failure,)),
)
