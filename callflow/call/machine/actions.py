"""Actions of the table's rows: each appends commands to the step and records on the model what was requested."""

from __future__ import annotations

from typing import Literal

from callflow.call.machine.action_parts import (
    Action,
    abandon_transfer,
    arm,
    connect_engine,
    disarm,
    end_hold,
    recover_transfer,
)
from callflow.call.machine.guards import falls_back
from callflow.call.machine.model import (
    ANSWERED,
    BRIDGED,
    CLIP,
    DEADLINES,
    FALLBACK,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_NONE,
    FAREWELL_PENDING,
    ONE_MOMENT,
    RINGING,
    SORRY,
    SPEAKING,
    TO_MACHINE,
    TRANSFERRING,
    Model,
    Step,
)
from callflow.contracts import commands as do
from callflow.contracts.events import (
    REFUSED,
    CallHangup,
    CallInitiated,
    CallResumed,
    CallTurnedAway,
    CommandFailed,
    DialRequested,
    EndRequested,
    GoodbyeRequested,
    HangupRequested,
    NoInput,
    PauseRequested,
    RecordRequested,
    ToolCalled,
    ToolFinished,
)


def answer_call(model: Model, step: Step) -> None:
    """Answer the call, and connect the engine while the phone still rings, so that the first word is not late."""
    model.answer_sent = True
    step.commands.append(do.Answer(record=isinstance(step.event, CallInitiated) and step.event.record))
    connect_engine(model, step)
    arm(model, step, "ring")


def answer_only(model: Model, step: Step) -> None:
    """Answer a call that only hears a sentence of the carrier's, without an engine and without a stream."""
    model.answer_sent = True
    if isinstance(step.event, CallTurnedAway):
        model.cause = step.event.reason
    step.commands.append(do.Answer(streamless=True))
    arm(model, step, "ring")


def dial_call(model: Model, step: Step) -> None:
    """Dial, and connect the engine while it rings, so that the first word is not late."""
    if isinstance(step.event, DialRequested):
        model.answer_sent, model.dialled = True, step.event.streams
        asked = step.event
        step.commands.append(
            do.Dial(
                ring_seconds=asked.ring_seconds,
                record=asked.record,
                stream=asked.streams == "with_dial",
                machines=asked.machines,
            )
        )
        if asked.streams != "sip":
            connect_engine(model, step)
        arm(model, step, "queue" if asked.queues else "dial")


def start_ringing(model: Model, step: Step) -> None:
    """Begin to count for how long the carrier rings, now that it dials."""
    disarm(model, step, "queue")
    arm(model, step, "dial")


def await_leg(model: Model, step: Step) -> None:
    """Wait for a sign of a leg that may have been dialled."""
    arm(model, step, "ring")


def stream_on_answer(model: Model, step: Step) -> None:
    """Request another stream at the answer: the one that came with the dial is gone before it."""
    if model.dialled != "sip":
        model.dialled = "on_answer"


def set_leg_there(model: Model, step: Step) -> None:
    """Note that the carrier has the leg: it rings as long as it was asked to."""
    disarm(model, step, "ring")


def adopt_call(model: Model, step: Step) -> None:
    """Take over a call that was answered, but not by us."""
    model.answer_sent = model.adopted = True
    connect_engine(model, step)


def ask_for_stream(model: Model, step: Step) -> None:
    """Request a media stream from the carrier."""
    record = isinstance(step.event, CallResumed) and step.event.record
    step.commands.append(do.StartStream(record=record))


def await_stream(model: Model, step: Step) -> None:
    """Wait for the media stream of a call that is answered, and start the call's time limit."""
    _stop_ringing(model, step)
    arm(model, step, "stream")
    start_clock(model, step)


def _stop_ringing(model: Model, step: Step) -> None:
    model.dialled = ""
    for deadline in ("ring", "queue", "dial"):
        disarm(model, step, deadline)


def start_clock(model: Model, step: Step) -> None:
    """Start the call's time limit, or let it go on: what was counted before counts (`call/deadlines.py`). It has two
    parts: `warning` runs until the caller is warned, `call` until the end. A machine has limits of its own."""
    if model.farewell not in TO_MACHINE:
        arm(model, step, "warning")


def start_last_minute(model: Model, step: Step) -> None:
    """Start the last part of the time limit: the caller has been warned."""
    arm(model, step, "call")


def set_stream_up(model: Model, step: Step) -> None:
    """Note that the media stream is there. A call that has no time limit yet gets one."""
    model.media = "open"
    _stop_ringing(model, step)
    disarm(model, step, "stream")
    disarm(model, step, "restream")
    disarm(model, step, "grace")
    if not model.armed & {"warning", "call", "bridged"} and not model.farewell:
        start_clock(model, step)
    if model.suppress_noise:
        model.suppress_noise = False
        step.commands.append(do.SuppressNoise())


def set_stream_gone(model: Model, step: Step) -> None:
    """Wait for the hang-up webhook, which usually follows the end of the stream."""
    model.media = "lost"
    if model.farewell != SPEAKING and "restream" not in model.armed:
        arm(model, step, "grace")


def no_stream(model: Model, step: Step) -> None:
    """Count the stream as lost, even if ours looks open: a carrier that asks has none."""
    model.media = "lost"
    disarm(model, step, "grace")


def close_media(model: Model, step: Step) -> None:
    """Close our end of the media stream."""
    model.media = "lost"
    step.commands.append(do.CloseMedia())


def set_engine_ready(model: Model, step: Step) -> None:
    """Note that the model's session is ready."""
    model.engine = "ready"
    disarm(model, step, "engine")
    disarm(model, step, "backoff")


def set_engine_lost(model: Model, step: Step) -> None:
    """Note that the model's session is lost."""
    model.engine = "lost"
    disarm(model, step, "engine")
    disarm(model, step, "backoff")


def reconnect(model: Model, step: Step) -> None:
    """Reconnect at once the first time, later after a pause. One deadline limits all attempts."""
    model.tries += 1
    model.engine = "connecting"
    if step.before in (RINGING, ANSWERED):
        model.greeted = False  # the caller cannot have heard the greeting
    if model.tries == 1:
        step.commands.append(do.ConnectEngine())
    else:
        arm(model, step, "backoff")
    if "engine" not in model.armed:
        arm(model, step, "engine")


def connect_again(model: Model, step: Step) -> None:
    """Open a session once more, after the pause."""
    step.commands.append(do.ConnectEngine())


def rotate_engine(model: Model, step: Step) -> None:
    """Replace the session, which will end soon, by the next one."""
    step.commands.append(do.RotateEngine())


def wait_for_stream(model: Model, step: Step) -> None:
    """Wait for the grace time before the next try: the carrier could not open the stream."""
    disarm(model, step, "restream")
    arm(model, step, "grace")


def reset_tries(model: Model, step: Step) -> None:
    """Count sessions and streams anew: the caller has heard a whole answer."""
    model.tries = model.stream_restarts = 0


def resume_conversation(model: Model, step: Step) -> None:
    """Ask the engine to continue the conversation, or to greet if the caller has not been greeted."""
    if model.farewell or model.armed & {"hold", "bridged"}:
        return
    if model.back:
        model.back = False
        step.commands.append(do.Prompt(about="back"))
    elif model.greeted:
        step.commands.append(do.Prompt(about="resume"))
    else:
        greet_once(model, step)


def prompt(about: Literal["no_input", "no_input_goodbye", "time_warning"]) -> Action:
    """Make the action that lets the agent say something which neither side has asked for."""

    def say(model: Model, step: Step) -> None:
        time = step.event.time if isinstance(step.event, NoInput) else 1
        step.commands.append(do.Prompt(about=about, time=time))

    say.__name__ = f"prompt_{about}"
    return say


def await_goodbye(model: Model, step: Step) -> None:
    """Wait for the agent's goodbye. The call's time limit keeps running, because the caller may have more to say."""
    abandon_transfer(model, step)
    model.farewell = FAREWELL_BY_AGENT
    step.commands.append(do.AwaitGoodbye())
    arm(model, step, "last_words")


def make_goodbye_final(model: Model, step: Step) -> None:
    """Use the goodbye that the agent says already as the last sentence, limited by the farewell deadline."""
    model.farewell = FAREWELL_BY_AGENT_FINAL
    _only_farewell_deadline(model, step)


def call_off_end(model: Model, step: Step) -> None:
    """Call the end off: the call goes on."""
    model.farewell, model.cause = FAREWELL_NONE, ""
    disarm(model, step, "last_words")


def run_tool(model: Model, step: Step) -> None:
    """Run the tool that the model has called."""
    if isinstance(step.event, ToolCalled):
        step.commands.append(do.RunTool(id=step.event.id))


def answer_tool(model: Model, step: Step) -> None:
    """Give the result of a tool to the model."""
    if isinstance(step.event, ToolFinished):
        step.commands.append(do.AnswerTool(id=step.event.id))


def greet_once(model: Model, step: Step) -> None:
    """Let the agent greet the caller, unless it has done so, cannot speak yet, or the call ends."""
    if model.engine == "ready" and not model.greeted and not model.farewell:
        model.greeted = True
        step.commands.append(do.Greet())


def farewell_with(sentence: str, cause: str = "") -> Action:
    """Make the action that ends the call with this sentence, by whichever voice the caller can hear."""

    def say(model: Model, step: Step) -> None:
        model.sentence, model.cause = sentence, cause or model.cause
        start_farewell(model, step)

    say.__name__ = f"part_{sentence}"
    return say


def fall_back(cause: str = "") -> Action:
    """Make the action for a caller whom this line cannot serve: a sentence, then the fallback number, if any."""

    def say(model: Model, step: Step) -> None:
        chosen = model.fallback
        model.sentence = SORRY if chosen is None else FALLBACK if chosen.spoken else ONE_MOMENT
        model.cause = cause or model.cause
        start_farewell(model, step)

    say.__name__ = f"fall_back_{cause}" if cause else "fall_back"
    return say


def start_farewell(model: Model, step: Step) -> None:
    """Begin the last sentence: as a clip while the stream lives, else by the carrier's voice."""
    abandon_transfer(model, step)
    end_hold(model, step)
    if model.media == "open" and model.sentence == FALLBACK:  # there is no clip of it
        model.media = "lost"
        step.commands.append(do.SilenceAgent())
    if model.media == "open":
        model.farewell = CLIP
        step.commands.append(do.PlayClip(clip=model.sentence))
    elif step.after == RINGING:
        model.farewell = FAREWELL_PENDING
        return  # the call is not answered yet: the ring deadline keeps running
    else:
        model.farewell = SPEAKING
        step.commands.append(do.Speak(sentence=model.sentence, goes_on=falls_back(model, step)))
    model.tries = model.stream_restarts = 0  # no session and no stream is tried from here on
    _only_farewell_deadline(model, step)


def _only_farewell_deadline(model: Model, step: Step) -> None:
    for deadline in DEADLINES:
        if deadline != "farewell":
            disarm(model, step, deadline)
    arm(model, step, "farewell")


def start_recovery(model: Model, step: Step) -> None:
    """Start over in the process that has taken the call back: no session and no stream is open. The call's time limit
    keeps running."""
    model.media = "none" if model.media == "none" else "lost"
    model.tries = model.stream_restarts = 0
    for deadline in DEADLINES:
        if deadline not in ("dial", "queue", "ring", "beep", "message", "warning", "call", "hold", "bridged"):
            disarm(model, step, deadline)
        elif deadline in model.armed:
            arm(model, step, deadline)
    if "hold" in model.armed:
        step.commands.append(do.Hold())
    if step.before not in (TRANSFERRING, BRIDGED):
        recover_transfer(model, step)
    if model.farewell and model.farewell not in TO_MACHINE:
        model.engine = "lost"
        return
    if step.before in (RINGING, ANSWERED):
        model.greeted = False  # the caller cannot have heard the greeting
    connect_engine(model, step)


def repeat_answer(model: Model, step: Step) -> None:
    """Send the answer command again. If the carrier had it already, the same id is ignored. An adopted call never comes
    here: it no longer rings."""
    step.commands.append(do.Answer(again=True, streamless=bool(model.farewell)))


def await_stream_again(model: Model, step: Step) -> None:
    """Start the deadline for the media stream anew."""
    arm(model, step, "stream")


def await_carriers_question(model: Model, step: Step) -> None:
    """Wait for the carrier's webhook; when the grace time ends, request a stream."""
    arm(model, step, "grace")


def await_farewell(model: Model, step: Step) -> None:
    """Start the deadline of the last sentence."""
    arm(model, step, "farewell")


def with_cause(cause: str) -> Action:
    """Make the action that notes why the call ends, unless a cause is noted already."""

    def note(model: Model, step: Step) -> None:
        model.cause = model.cause or cause

    note.__name__ = f"because_{cause}"
    return note


def with_requested_cause(model: Model, step: Step) -> None:
    """Take the cause from the event that requests the end."""
    if isinstance(step.event, (GoodbyeRequested, HangupRequested, EndRequested)):
        model.cause = model.cause or step.event.reason


def note_hangup_cause(model: Model, step: Step) -> None:
    """Note the carrier's cause, unless we have noted one of ours."""
    if isinstance(step.event, CallHangup) and not model.cause:
        model.cause = step.event.cause or "unspecified"


def note_failure(model: Model, step: Step) -> None:
    """Note which command failed as the cause of the end, unless another cause is noted already."""
    if isinstance(step.event, CommandFailed) and not model.cause:
        model.cause = "already_ended" if step.event.gone else f"{step.event.command}_failed"


def record(model: Model, step: Step) -> None:
    """Start or end the carrier's recording."""
    if isinstance(step.event, RecordRequested):
        step.commands.append(do.Record(on=step.event.on))


def pause_record(model: Model, step: Step) -> None:
    """Tell the carrier to pause its recording, or to go on, if it is the carrier that records."""
    if isinstance(step.event, PauseRequested) and step.event.carrier:
        step.commands.append(do.PauseRecord(on=step.event.on))


def reject(model: Model, step: Step) -> None:
    """Refuse the call unanswered, as busy or as rejected."""
    reason = str(getattr(step.event, "reason", "busy"))
    model.cause = model.cause or reason
    step.commands.append(do.Reject(cause="rejected" if reason == REFUSED else "busy"))


def send_hangup(model: Model, step: Step) -> None:
    """Tell the carrier to hang up."""
    step.commands.append(do.Hangup(quiet=model.cause in ("machine", "fax")))


def release(model: Model, step: Step) -> None:
    """Let go of all that the call owns: nothing decides anything any more."""
    abandon_transfer(model, step)
    # Nothing of this decides anything any more.
    model.armed = frozenset()
    model.engine = model.media = "none"
    model.farewell, model.sentence, model.dialled = FAREWELL_NONE, "", ""
    model.tries = model.stream_restarts = 0
    step.commands.append(do.Release())
