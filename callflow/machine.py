"""The state machine of a call. Everything that decides a transition lives in this file, and nowhere else.

    ringing -> answered -> streaming -> hangup

is every call's road; beside it lies `recovering`, where a call waits for an engine or a stream that was lost. `TABLE`
is the machine: the running code, the diagram in docs/architecture.md and the test that walks every reachable state read
the same rows. A row whose conditions do not hold is passed over; an event that no row takes is inert: it is recorded,
and nothing follows from it.

The rules that the rows keep:

1. A transition performs nothing. Its actions append commands to the list that the step was given, and note on the small
   model what has been asked for. No clock, no id, no randomness: those come with the event or are added outside.
2. Every state but `hangup` has a deadline armed, and a passed deadline is an event like any other.
3. `hangup` absorbs everything. Entering it releases what the call owned, and hangs up at the carrier unless the carrier
   itself said that the call is over.
4. A call that must end while somebody listens ends with a sentence: the agent's own words where it is the agent that
   ends it, else a clip while the stream lives, else the carrier's own voice. Until that sentence is over the call stays
   where it is, its `farewell` says so, and a deadline bounds it.

Evidence beats order. Webhooks arrive late, twice, or never; a caller's audio is proof of an answered call whatever the
webhooks say, and a call that is found alive is adopted, never answered again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from transitions import EventData, Machine

from callflow import commands as do
from callflow.events import (
    CALLER,
    CallHangup,
    CommandFailed,
    DeadlinePassed,
    EndRequested,
    EngineLost,
    Event,
    GoodbyeRequested,
    HangupRequested,
    NoInput,
    TakenBack,
    ToolCalled,
    ToolFinished,
)


RINGING, ANSWERED, STREAMING, RECOVERING, HANGUP = "ringing", "answered", "streaming", "recovering", "hangup"
STATES: Final = (RINGING, ANSWERED, STREAMING, RECOVERING, HANGUP)

DEADLINES: Final = (
    "ring", "stream", "restream", "engine", "backoff", "grace", "farewell", "last_words", "warning", "call"
)  # fmt: skip
"""Each has a setting in seconds: see `callflow.plan`."""

NO, WANTED, SPEAKING, CLIP, AGENT, FINAL = "", "wanted", "speaking", "clip", "agent", "final"
"""How far the last sentence is: not due; due, but nobody can hear yet; said by the carrier; played by us; said by the
agent itself, whom the caller may still keep from it; the same, where somebody else wants the end, too: it comes."""


class Model:
    """What the machine must remember of one call beside its state. Small, slotted, and comparable by `key`."""

    __slots__ = (
        "adopted",
        "answer_sent",
        "armed",
        "cause",
        "engine",
        "engine_tries",
        "farewell",
        "greeted",
        "media",
        "sentence",
        "state",
        "stream_tries",
        "streams",
        "tries",
    )

    def __init__(self, *, engine_tries: int = 3, stream_tries: int = 3) -> None:
        self.state: str = RINGING
        self.engine_tries, self.stream_tries = engine_tries, stream_tries
        """How many new sessions, and new streams, are worth trying."""
        self.tries = self.streams = 0
        """How many were tried since a whole answer was last heard."""
        self.answer_sent = False
        """We have picked up (or someone else did): never again."""
        self.adopted = False
        """It was somebody else."""
        self.engine = "none"
        """none, connecting, ready, lost."""
        self.media = "none"
        """none, open, lost."""
        self.greeted = False
        self.farewell = NO
        self.sentence = ""
        """Which sentence ends the call; set together with `farewell`."""
        self.armed: frozenset[str] = frozenset()
        self.cause = ""
        """Why the call ends or ended, in one word."""

    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def copy(self) -> Model:
        twin = Model()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


@dataclass(slots=True)
class Step:
    """What one event did to one call."""

    event: Event
    before: str
    after: str = ""
    taken: bool = False
    """False: the event was inert here."""
    commands: list[do.Command] = field(default_factory=list)


# Actions: each appends commands and notes what was asked for.

Action = Callable[[Model, Step], None]


def _arm(model: Model, step: Step, deadline: str) -> None:
    model.armed |= {deadline}
    step.commands.append(do.Arm(deadline=deadline))


def _disarm(model: Model, step: Step, deadline: str) -> None:
    if deadline in model.armed:
        model.armed -= {deadline}
        step.commands.append(do.Disarm(deadline=deadline))


def pick_up(model: Model, step: Step) -> None:
    """The engine is called while the phone still rings, so that the first word is not late."""
    model.answer_sent = True
    step.commands.append(do.Answer())
    _connect_engine(model, step)
    _arm(model, step, "ring")


def adopt(model: Model, step: Step) -> None:
    """Somebody answered this call before we heard of it: take it as it is."""
    model.answer_sent = model.adopted = True
    _connect_engine(model, step)


def _connect_engine(model: Model, step: Step) -> None:
    model.engine = "connecting"
    step.commands.append(do.ConnectEngine())
    _arm(model, step, "engine")


def ask_for_stream(model: Model, step: Step) -> None:
    step.commands.append(do.StartStream())


def await_stream(model: Model, step: Step) -> None:
    _disarm(model, step, "ring")
    _arm(model, step, "stream")
    _start_clock(model, step)


def _start_clock(model: Model, step: Step) -> None:
    """The call's own time, in two parts: until the caller is told that it is nearly up, and until it is."""
    _arm(model, step, "warning")


def last_minute(model: Model, step: Step) -> None:
    _arm(model, step, "call")


def stream_is_up(model: Model, step: Step) -> None:
    model.media = "open"
    _disarm(model, step, "ring")
    _disarm(model, step, "stream")
    _disarm(model, step, "restream")
    _disarm(model, step, "grace")
    if not model.armed & {"warning", "call"} and not model.farewell:
        _start_clock(model, step)


def stream_is_gone(model: Model, step: Step) -> None:
    """The carrier's word about the call itself is usually a moment away: give it that moment."""
    model.media = "lost"
    if model.farewell != SPEAKING and "restream" not in model.armed:
        _arm(model, step, "grace")


def no_stream(model: Model, step: Step) -> None:
    """The carrier would not ask if it had one, whatever we still believe of ours."""
    model.media = "lost"
    _disarm(model, step, "grace")


def close_media(model: Model, step: Step) -> None:
    model.media = "lost"
    step.commands.append(do.CloseMedia())


def engine_is_ready(model: Model, step: Step) -> None:
    model.engine = "ready"
    _disarm(model, step, "engine")
    _disarm(model, step, "backoff")


def engine_is_lost(model: Model, step: Step) -> None:
    model.engine = "lost"
    _disarm(model, step, "engine")
    _disarm(model, step, "backoff")


def reconnect(model: Model, step: Step) -> None:
    """At once the first time, after a pause from then on; one deadline over all of it."""
    model.tries += 1
    model.engine = "connecting"
    if step.before in (RINGING, ANSWERED):
        model.greeted = False  # nobody can have heard it
    if model.tries == 1:
        step.commands.append(do.ConnectEngine())
    else:
        _arm(model, step, "backoff")
    if "engine" not in model.armed:
        _arm(model, step, "engine")


def connect_again(model: Model, step: Step) -> None:
    step.commands.append(do.ConnectEngine())


def rotate(model: Model, step: Step) -> None:
    step.commands.append(do.RotateEngine())


def restream(model: Model, step: Step) -> None:
    """Another stream, under a token of its own."""
    model.streams += 1
    step.commands.append(do.StartStream())
    _arm(model, step, "restream")


def wait_for_stream(model: Model, step: Step) -> None:
    """The carrier could not; it may in a moment."""
    _disarm(model, step, "restream")
    _arm(model, step, "grace")


def all_is_well(model: Model, step: Step) -> None:
    model.tries = model.streams = 0


def take_up(model: Model, step: Step) -> None:
    """Go on where the conversation was."""
    if model.farewell:
        return
    if model.greeted:
        step.commands.append(do.Prompt(about="resume"))
    else:
        greet_once(model, step)


def prompt(about: Literal["no_input", "no_input_goodbye", "time_warning"]) -> Action:
    def say(model: Model, step: Step) -> None:
        time = step.event.time if isinstance(step.event, NoInput) else 1
        step.commands.append(do.Prompt(about=about, time=time))

    say.__name__ = f"prompt_{about}"
    return say


def last_words(model: Model, step: Step) -> None:
    """The agent says them. The call's own deadline goes on, in case that the caller has more to say."""
    model.farewell = AGENT
    step.commands.append(do.LastWords())
    _arm(model, step, "last_words")


def insist(model: Model, step: Step) -> None:
    """The agent says goodbye already: that is the goodbye, and there is one clock for it."""
    model.farewell = FINAL
    _one_clock(model, step)


def stay(model: Model, step: Step) -> None:
    """The end is called off."""
    model.farewell, model.cause = NO, ""
    _disarm(model, step, "last_words")


def run_tool(model: Model, step: Step) -> None:
    if isinstance(step.event, ToolCalled):
        step.commands.append(do.RunTool(id=step.event.id))


def answer_tool(model: Model, step: Step) -> None:
    if isinstance(step.event, ToolFinished):
        step.commands.append(do.AnswerTool(id=step.event.id))


def greet_once(model: Model, step: Step) -> None:
    if model.engine == "ready" and not model.greeted and not model.farewell:
        model.greeted = True
        step.commands.append(do.Greet())


def part(sentence: str, cause: str = "") -> Action:
    """End the call with this sentence, as soon as and as well as it can be heard."""

    def say(model: Model, step: Step) -> None:
        model.sentence, model.cause = sentence, cause or model.cause
        say_farewell(model, step)

    say.__name__ = f"part_{sentence}"
    say.__doc__ = f"farewell: “{sentence}”"
    return say


def say_farewell(model: Model, step: Step) -> None:
    if model.media == "open":
        model.farewell = CLIP
        step.commands.append(do.PlayClip(clip=model.sentence))
    elif step.after == RINGING:
        model.farewell = WANTED
        return  # nobody hears us yet: the ring deadline goes on
    else:
        model.farewell = SPEAKING
        step.commands.append(do.Speak(sentence=model.sentence))
    model.tries = model.streams = 0  # nothing more is tried
    _one_clock(model, step)


def _one_clock(model: Model, step: Step) -> None:
    for deadline in DEADLINES:
        if deadline != "farewell":
            _disarm(model, step, deadline)
    _arm(model, step, "farewell")


def come_back(model: Model, step: Step) -> None:
    """Another process has the call: nothing that was open is open any more. The call's own time goes on."""
    model.media = "none" if model.media == "none" else "lost"
    model.tries = model.streams = 0
    for deadline in DEADLINES:
        if deadline not in ("ring", "warning", "call"):
            _disarm(model, step, deadline)
        elif deadline in model.armed:
            _arm(model, step, deadline)
    if model.farewell:
        model.engine = "lost"
        return
    if step.before in (RINGING, ANSWERED):
        model.greeted = False  # nobody can have heard it
    _connect_engine(model, step)


def answer_again(model: Model, step: Step) -> None:
    """Nobody knows whether the carrier was told. It obeys one command once. (What somebody else answered rings no
    more.)"""
    step.commands.append(do.Answer(again=True))


def stream_anew(model: Model, step: Step) -> None:
    _arm(model, step, "stream")


def expect_question(model: Model, step: Step) -> None:
    """The carrier is about to ask what to do; if it does not, we say it."""
    _arm(model, step, "grace")


def await_end(model: Model, step: Step) -> None:
    _arm(model, step, "farewell")


def because(cause: str) -> Action:
    def note(model: Model, step: Step) -> None:
        model.cause = model.cause or cause

    note.__name__ = f"because_{cause}"
    return note


def as_asked(model: Model, step: Step) -> None:
    """Whoever wants the end has said why."""
    if isinstance(step.event, (GoodbyeRequested, HangupRequested, EndRequested)):
        model.cause = model.cause or step.event.reason


def note_hangup_cause(model: Model, step: Step) -> None:
    if isinstance(step.event, CallHangup) and not model.cause:
        model.cause = step.event.cause or "unspecified"


def note_failure(model: Model, step: Step) -> None:
    if isinstance(step.event, CommandFailed) and not model.cause:
        model.cause = "already_ended" if step.event.gone else f"{step.event.command}_failed"


def reject(model: Model, step: Step) -> None:
    model.cause = model.cause or str(getattr(step.event, "reason", "busy"))
    step.commands.append(do.Reject())


def hang_up(model: Model, step: Step) -> None:
    step.commands.append(do.Hangup())


def release(model: Model, step: Step) -> None:
    model.armed = frozenset()
    step.commands.append(do.Release())


# Conditions

Condition = Callable[[Model, Event], bool]


def is_gone(model: Model, event: Event) -> bool:
    """The carrier has no such call any more."""
    return isinstance(event, TakenBack) and event.found == "gone"


def still_rings(model: Model, event: Event) -> bool:
    return isinstance(event, TakenBack) and event.found == "ringing"


def asks(model: Model, event: Event) -> bool:
    """The carrier wants to know what to do with the caller."""
    return isinstance(event, TakenBack) and event.found == "asking"


def fresh(model: Model, event: Event) -> bool:
    """Nothing has been done for this call yet."""
    return not model.answer_sent


def adopted(model: Model, event: Event) -> bool:
    """Somebody else answered it."""
    return model.adopted


def parting(model: Model, event: Event) -> bool:
    """The last sentence has been decided on."""
    return bool(model.farewell)


def no_room(model: Model, event: Event) -> bool:
    """A call that we did not answer is let go because there are too many, or too many of this caller's."""
    return isinstance(event, GoodbyeRequested) and event.reason in NO_ROOM


def said_by_carrier(model: Model, event: Event) -> bool:
    return model.farewell == SPEAKING


def said_by_clip(model: Model, event: Event) -> bool:
    return model.farewell == CLIP


def media_is_lost(model: Model, event: Event) -> bool:
    return model.media == "lost"


def said_by_agent(model: Model, event: Event) -> bool:
    return model.farewell in (AGENT, FINAL)


def silenced(model: Model, event: Event) -> bool:
    """The agent has had its last word."""
    return model.farewell in (CLIP, SPEAKING, WANTED)


def settled(model: Model, event: Event) -> bool:
    """The end comes, whatever the caller says."""
    return model.farewell in (CLIP, SPEAKING, WANTED, FINAL)


def media_is_open(model: Model, event: Event) -> bool:
    return model.media == "open"


def engine_is_up(model: Model, event: Event) -> bool:
    return model.engine == "ready"


def may_reconnect(model: Model, event: Event) -> bool:
    """A new session may do better, and not too many were tried."""
    return isinstance(event, EngineLost) and event.retry and model.tries < model.engine_tries


def may_restream(model: Model, event: Event) -> bool:
    """Not too many streams were tried."""
    return model.streams < model.stream_tries


def never_restreams(model: Model, event: Event) -> bool:
    """A lost stream is the end of the call: the carrier, or whoever set it up, knows no other."""
    return model.stream_tries == 0


def enough(model: Model, event: Event) -> bool:
    """The caller was asked often enough."""
    return isinstance(event, NoInput) and event.last


def restreaming(model: Model, event: Event) -> bool:
    """Another stream was asked for, and its time is not up."""
    return "restream" in model.armed


def engine_expected(model: Model, event: Event) -> bool:
    return model.engine in ("connecting", "ready")


def engine_awaited(model: Model, event: Event) -> bool:
    return model.engine == "connecting"


@dataclass(frozen=True, slots=True)
class Row:
    """On `trigger`, in any of `source`, if all of `when` hold and none of `unless`: go to `dest`, do `then`.

    `dest` None: stay. Of the rows that fit, the first one is taken.
    """

    trigger: str
    source: str | tuple[str, ...]
    dest: str | None
    then: tuple[Action, ...] = ()
    when: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source


LIVE: Final = (RINGING, ANSWERED, STREAMING, RECOVERING)
HEARD: Final = (ANSWERED, STREAMING, RECOVERING)
FLOWING: Final = (STREAMING, RECOVERING)
SORRY: Final = "sorry"
GOODBYE: Final = "goodbye"
BUSY: Final = "busy"
NO_ROOM: Final = ("busy", "caller_busy", "caller_limit")
"""Reasons for which a caller hears that the line is busy."""

TABLE: Final[tuple[Row, ...]] = (
    # A call arrives. Once it was picked up, the same news again is inert.
    Row("call_initiated", RINGING, None, (pick_up,), when=(fresh,)),
    Row("call_refused", RINGING, HANGUP, (reject,), when=(fresh,)),
    Row("not_ours", LIVE, HANGUP, (because("not_ours"),), when=(adopted,)),
    # It is answered: told, or shown by its audio. Somebody who could not hear us yet now can.
    Row("call_answered", RINGING, ANSWERED, (adopt, await_stream, ask_for_stream), when=(fresh,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, say_farewell), when=(parting,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, greet_once)),
    Row("media_started", RINGING, STREAMING, (adopt, stream_is_up), when=(fresh,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (stream_is_up,), when=(said_by_carrier,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (stream_is_up, say_farewell), when=(parting,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (stream_is_up, greet_once)),
    # The stream is lost: time for the carrier's word on the call, or for a new socket; then we ask for another stream.
    Row("media_started", FLOWING, STREAMING, (stream_is_up, say_farewell), when=(media_is_lost, said_by_clip)),
    Row("media_started", RECOVERING, STREAMING, (stream_is_up,), when=(parting,)),
    Row("media_started", FLOWING, STREAMING, (stream_is_up, take_up), when=(media_is_lost, engine_is_up)),
    Row("media_started", FLOWING, None, (stream_is_up,)),
    Row("media_lost", HEARD, None, (stream_is_gone,)),
    Row("grace_deadline", FLOWING, None, (say_farewell,), when=(media_is_lost, said_by_clip)),
    Row("grace_deadline", FLOWING, None, (part(GOODBYE),), when=(media_is_lost, said_by_agent)),
    Row(
        "grace_deadline",
        STREAMING,
        HANGUP,
        (because("stream_lost"), hang_up),
        when=(media_is_lost, never_restreams),
        unless=(parting,),
    ),
    Row("grace_deadline", FLOWING, RECOVERING, (restream,), when=(media_is_lost, may_restream), unless=(parting,)),
    Row(
        "grace_deadline",
        HEARD,
        None,
        (part(SORRY, "stream_lost"),),
        when=(media_is_lost,),
        unless=(parting,),
    ),
    # The carrier asks what to do with a caller whose stream has ended, or who never got our answer.
    Row("call_resumed", RINGING, ANSWERED, (adopt, await_stream, ask_for_stream), when=(fresh,)),
    Row("call_resumed", RINGING, ANSWERED, (await_stream, say_farewell), when=(parting,)),
    Row("call_resumed", RINGING, ANSWERED, (await_stream, ask_for_stream, greet_once)),
    Row("call_resumed", HEARD, None, (no_stream, say_farewell), when=(said_by_clip,)),
    Row("call_resumed", HEARD, None, (no_stream, part(GOODBYE)), when=(said_by_agent,)),
    Row("call_resumed", ANSWERED, None, (ask_for_stream,), unless=(parting,)),
    Row(
        "call_resumed", FLOWING, RECOVERING, (no_stream, restream), when=(may_restream,), unless=(parting, restreaming)
    ),
    Row("call_resumed", FLOWING, None, (no_stream, part(SORRY, "stream_lost")), unless=(parting, restreaming)),
    # The process that had the call is gone, and this one takes it back, or finds that it is over.
    Row("taken_back", LIVE, HANGUP, (because("interrupted"),), when=(is_gone,)),
    Row("taken_back", RINGING, None, (come_back, answer_again), when=(still_rings,), unless=(fresh,)),
    Row("taken_back", RINGING, None, (come_back,), when=(asks,), unless=(fresh,)),
    Row("taken_back", RINGING, ANSWERED, (come_back, await_stream, say_farewell), when=(parting,)),
    Row("taken_back", RINGING, ANSWERED, (come_back, await_stream, ask_for_stream), unless=(fresh,)),
    Row("taken_back", HEARD, None, (come_back, await_end), when=(said_by_carrier,)),
    Row("taken_back", HEARD, None, (come_back, say_farewell), when=(said_by_clip,)),
    Row("taken_back", HEARD, None, (come_back, part(GOODBYE)), when=(said_by_agent,)),
    Row("taken_back", ANSWERED, None, (come_back, stream_anew), when=(asks,)),
    Row("taken_back", ANSWERED, None, (come_back, stream_anew, ask_for_stream)),
    Row("taken_back", FLOWING, HANGUP, (because("interrupted"), hang_up), when=(never_restreams,)),
    Row("taken_back", FLOWING, RECOVERING, (come_back, expect_question), when=(asks,)),
    Row("taken_back", FLOWING, RECOVERING, (come_back, restream)),
    # It cannot be opened, or not be read.
    Row("stream_failed", (RINGING, ANSWERED), ANSWERED, (part(SORRY, "stream_failed"),), unless=(fresh, parting)),
    Row("stream_failed", RINGING, ANSWERED, (say_farewell,), unless=(fresh,)),
    Row("stream_failed", RECOVERING, None, (wait_for_stream,), when=(media_is_lost,), unless=(parting,)),
    Row("stream_deadline", ANSWERED, None, (part(SORRY, "stream_timeout"),), unless=(parting,)),
    Row("restream_deadline", RECOVERING, None, (restream,), when=(media_is_lost, may_restream), unless=(parting,)),
    Row("restream_deadline", RECOVERING, None, (part(SORRY, "stream_lost"),), when=(media_is_lost,), unless=(parting,)),
    Row(
        "media_refused",
        (RINGING, *HEARD),
        ANSWERED,
        (close_media, part(SORRY, "codec_refused")),
        unless=(fresh, parting),
    ),
    Row("media_refused", RINGING, ANSWERED, (close_media, say_farewell), unless=(fresh,)),
    # The engine. One that breaks is replaced, as long as that may help; who ends the call by it, ends it with a clip.
    Row("engine_ready", RINGING, None, (engine_is_ready,), when=(engine_awaited,)),
    Row("engine_ready", RECOVERING, STREAMING, (engine_is_ready, take_up), when=(engine_awaited, media_is_open)),
    Row("engine_ready", HEARD, None, (engine_is_ready, greet_once), when=(engine_awaited,)),
    Row("engine_lost", HEARD, None, (engine_is_lost, part(GOODBYE)), when=(engine_expected, said_by_agent)),
    Row("engine_lost", STREAMING, RECOVERING, (reconnect,), when=(engine_expected, may_reconnect), unless=(parting,)),
    Row("engine_lost", LIVE, None, (reconnect,), when=(engine_expected, may_reconnect), unless=(parting,)),
    Row(
        "engine_lost",
        LIVE,
        None,
        (engine_is_lost, part(SORRY, "engine_lost")),
        when=(engine_expected,),
        unless=(parting,),
    ),
    Row("backoff_deadline", LIVE, None, (connect_again,), when=(engine_awaited,), unless=(parting,)),
    Row(
        "engine_deadline",
        LIVE,
        None,
        (engine_is_lost, part(SORRY, "engine_timeout")),
        when=(engine_awaited,),
        unless=(parting,),
    ),
    Row("engine_expiring", STREAMING, None, (rotate,), when=(engine_is_up,), unless=(parting,)),
    Row("agent_heard", STREAMING, None, (all_is_well,)),
    # Tools: on record before they run, and before their answers are given.
    Row("tool_called", LIVE, None, (run_tool,), unless=(silenced,)),
    Row("tool_finished", LIVE, None, (answer_tool,), unless=(silenced,)),
    # The caller is silent, or the time is nearly up.
    Row(
        "no_input",
        STREAMING,
        None,
        (because("no_input"), prompt("no_input_goodbye"), last_words),
        when=(enough, engine_is_up),
        unless=(parting,),
    ),
    Row("no_input", STREAMING, None, (prompt("no_input"),), when=(engine_is_up,), unless=(parting,)),
    Row(
        "warning_deadline",
        STREAMING,
        None,
        (prompt("time_warning"), last_minute),
        when=(engine_is_up,),
        unless=(parting,),
    ),
    Row("warning_deadline", HEARD, None, (last_minute,)),
    # The agent ends the call: its last words are to be heard, and the caller may have more to say.
    Row("end_requested", STREAMING, None, (as_asked, last_words), when=(engine_is_up,), unless=(parting,)),
    Row("end_requested", HEARD, None, (as_asked, part(GOODBYE)), unless=(parting,)),
    Row("last_words_heard", STREAMING, HANGUP, (hang_up,), when=(said_by_agent,)),
    Row("last_words_interrupted", STREAMING, None, (stay,), when=(said_by_agent,), unless=(settled,)),
    Row("last_words_interrupted", STREAMING, None, (part(GOODBYE),), when=(said_by_agent,)),
    Row("last_words_deadline", HEARD, HANGUP, (hang_up,), when=(said_by_agent,)),
    # The last sentence is over, or nobody can say it, or its time is up.
    Row("clip_played", HEARD, HANGUP, (hang_up,), when=(said_by_clip,)),
    Row("speak_ended", HEARD, HANGUP, (hang_up,), when=(said_by_carrier,)),
    Row("speak_failed", HEARD, HANGUP, (hang_up,), when=(said_by_carrier,)),
    Row("farewell_deadline", HEARD, HANGUP, (hang_up,), when=(settled,)),
    # Somebody wants it to end.
    Row("goodbye_requested", RINGING, HANGUP, (as_asked, hang_up)),
    Row("goodbye_requested", HEARD, None, (as_asked, part(BUSY)), when=(no_room,), unless=(settled,)),
    Row(
        "goodbye_requested",
        STREAMING,
        None,
        (insist,),
        when=(said_by_agent, media_is_open, engine_is_up),
        unless=(settled,),
    ),
    Row("goodbye_requested", HEARD, None, (as_asked, part(GOODBYE)), unless=(settled,)),
    Row("call_deadline", HEARD, None, (part(GOODBYE, "too_long"),), unless=(settled,)),
    Row("ring_deadline", RINGING, HANGUP, (because("not_answered"), hang_up)),
    Row("hangup_requested", LIVE, HANGUP, (as_asked, hang_up)),
    # The carrier refuses our command for good, or says that there is no call.
    Row("answer_failed", RINGING, HANGUP, (note_failure, hang_up)),
    Row("answer_gone", LIVE, HANGUP, (note_failure,)),
    Row("stream_gone", LIVE, HANGUP, (note_failure,)),
    Row("speak_gone", LIVE, HANGUP, (note_failure,)),
    Row("call_hangup", LIVE, HANGUP, (note_hangup_cause,)),
)


def _given(data: EventData) -> tuple[Model, Step]:
    return cast(Model, data.model), cast("tuple[Step]", data.args)[0]


def _runner(row: Row) -> Callable[[EventData], None]:
    def run(data: EventData) -> None:
        model, step = _given(data)
        step.after = row.dest or model.state
        for action in row.then:
            action(model, step)
        if step.after == HANGUP:
            release(model, step)

    return run


def _check(row: Row) -> Callable[[EventData], bool]:
    def check(data: EventData) -> bool:
        model, step = _given(data)
        return all(holds(model, step.event) for holds in row.when) and not any(
            holds(model, step.event) for holds in row.unless
        )

    return check


def _build(table: Iterable[Row]) -> Machine:
    """One synchronous machine for all calls. Models are not registered: `add_model` fails on slots."""
    machine = Machine(
        model=None,
        states=list(STATES),
        initial=RINGING,
        auto_transitions=False,
        send_event=True,
        ignore_invalid_triggers=True,
    )
    for row in table:
        for source in row.sources:
            machine.add_transition(row.trigger, source, row.dest, conditions=[_check(row)], before=[_runner(row)])
    return machine


_MACHINE: Final = _build(TABLE)
TRIGGERS: Final = tuple(dict.fromkeys(row.trigger for row in TABLE))


def take(model: Model, event: Event) -> Step:
    """Let one event happen to one call: changes `model`, and returns what the call is to do about it.

    Total: any event in any state. Another leg's events never move the call, nor does a deadline that is not armed (one
    that was disarmed while its event was on the way). Never raises for an event.
    """
    step = Step(event, before=model.state)
    trigger = _MACHINE.events.get(event.trigger) if event.leg == CALLER else None
    if isinstance(event, DeadlinePassed) and trigger is not None:
        if event.deadline not in model.armed:
            trigger = None
        model.armed -= {event.deadline}
    if trigger is not None:
        step.taken = bool(trigger.trigger(model, step))
    step.after = model.state
    return step


def is_over(model: Model) -> bool:
    return model.state == HANGUP
