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

from dataclasses import dataclass
from typing import Final

from callflow.call.machine.actions import (
    Action,
    adopt,
    all_is_well,
    answer_again,
    answer_tool,
    as_asked,
    ask_for_stream,
    await_end,
    await_goodbye,
    await_stream,
    because,
    close_media,
    come_back,
    connect_again,
    engine_is_lost,
    engine_is_ready,
    expect_question,
    greet_once,
    hang_up,
    insist,
    last_minute,
    no_stream,
    note_failure,
    note_hangup_cause,
    part,
    pick_up,
    prompt,
    reconnect,
    reject,
    restream,
    rotate,
    run_tool,
    say_farewell,
    stay,
    stream_anew,
    stream_is_gone,
    stream_is_up,
    take_up,
    wait_for_stream,
)
from callflow.call.machine.guards import (
    Condition,
    adopted,
    asks,
    engine_awaited,
    engine_expected,
    engine_is_up,
    enough,
    fresh,
    is_gone,
    may_reconnect,
    may_restream,
    media_is_lost,
    media_is_open,
    never_restreams,
    no_room,
    parting,
    restreaming,
    said_by_agent,
    said_by_carrier,
    said_by_clip,
    settled,
    silenced,
    still_rings,
)
from callflow.call.machine.model import (
    ANSWERED,
    HANGUP,
    RECOVERING,
    RINGING,
    STREAMING,
)


# Actions: each appends commands and notes what was asked for.


# Conditions


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
    Row("call_recovered", LIVE, HANGUP, (because("interrupted"),), when=(is_gone,)),
    Row("call_recovered", RINGING, None, (come_back, answer_again), when=(still_rings,), unless=(fresh,)),
    Row("call_recovered", RINGING, None, (come_back,), when=(asks,), unless=(fresh,)),
    Row("call_recovered", RINGING, ANSWERED, (come_back, await_stream, say_farewell), when=(parting,)),
    Row("call_recovered", RINGING, ANSWERED, (come_back, await_stream, ask_for_stream), unless=(fresh,)),
    Row("call_recovered", HEARD, None, (come_back, await_end), when=(said_by_carrier,)),
    Row("call_recovered", HEARD, None, (come_back, say_farewell), when=(said_by_clip,)),
    Row("call_recovered", HEARD, None, (come_back, part(GOODBYE)), when=(said_by_agent,)),
    Row("call_recovered", ANSWERED, None, (come_back, stream_anew), when=(asks,)),
    Row("call_recovered", ANSWERED, None, (come_back, stream_anew, ask_for_stream)),
    Row("call_recovered", FLOWING, HANGUP, (because("interrupted"), hang_up), when=(never_restreams,)),
    Row("call_recovered", FLOWING, RECOVERING, (come_back, expect_question), when=(asks,)),
    Row("call_recovered", FLOWING, RECOVERING, (come_back, restream)),
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
        (because("no_input"), prompt("no_input_goodbye"), await_goodbye),
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
    Row("end_requested", STREAMING, None, (as_asked, await_goodbye), when=(engine_is_up,), unless=(parting,)),
    Row("end_requested", HEARD, None, (as_asked, part(GOODBYE)), unless=(parting,)),
    Row("goodbye_heard", STREAMING, HANGUP, (hang_up,), when=(said_by_agent,)),
    Row("goodbye_interrupted", STREAMING, None, (stay,), when=(said_by_agent,), unless=(settled,)),
    Row("goodbye_interrupted", STREAMING, None, (part(GOODBYE),), when=(said_by_agent,)),
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
