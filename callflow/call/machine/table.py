"""The state machine of a call: the rows, and how it works.

Theory of operation
===================

    ringing -> answered -> streaming -> hangup

is the main road of every call. Beside it is `recovering`, where a call waits for an engine or a media stream that was
lost. Events come in (webhooks, the media stream, the engine, deadlines, operators), one at a time. For each event, the
first row of `TABLE` that fits is taken: same trigger, the state among its sources, all guards in `when` true, none in
`unless`. The row's actions run in order, then the state changes. An event without a fitting row is inert: it is
journalled and has no effect. The running code, the diagram in docs/architecture.md and the test that walks every
reachable state read these same rows.

The rules that the rows keep:

1. A transition performs nothing. Actions append commands to the step and note on the small model what was requested.
   There is no clock, no id and no randomness: those come with the event or are added outside (`call.py`).
2. Every state but `hangup` has a deadline armed, and a deadline that passes is an event like any other.
3. `hangup` absorbs everything. Entering it releases what the call owned; the carrier is told to hang up unless it said
   itself that the call is over.
4. A call that ends while somebody listens ends with a sentence (the *farewell*): the agent's own words where the agent
   ends it, else a clip while the media stream is up, else the carrier's voice. Until it is over the call stays in its
   state, `Model.farewell` says how far it is, and one deadline bounds it.
5. Evidence beats order. Webhooks arrive late, twice or never. Audio of the caller proves that a call is answered
   whatever the webhooks say, and a call that is found alive is adopted, never answered again.

Why it is built with `transitions`: the library evaluates guards and runs actions; we give it the functions themselves
(`step.py`), each called with (model, step). One machine serves all calls; the models are small slotted objects.

Known weaknesses:

- The order of rows matters. A general row above a special one would hide it; the test "every row is of use" finds that.
- `recovering` does not show *what* is being restored: engine or stream; `Model.engine` and `Model.media` do. Two more
  states would have doubled the rows.
- `farewell` is a second, small state machine inside the model (nine values, three of them for the message that is left
  on an answering machine). As states of the machine, its values would have multiplied the states by four.
- `media_started` in `ringing` skips `answered`: the webhook `call_answered` may still come, and is inert then.
- `stream_restarts` counts requested streams after a loss, `tries` sessions of the engine. `agent_heard` resets both;
  the mere return of a stream or session does not, because one that breaks again at once must not be tried for ever.
- `Step.after` is set before the row's actions run, because one of them (`start_farewell`) must know whether anybody can
  hear the call yet.
"""

from __future__ import annotations

from typing import Final

from callflow.call.machine.action_parts import restream
from callflow.call.machine.actions import (
    adopt_call,
    answer_call,
    answer_only,
    answer_tool,
    ask_for_stream,
    await_carriers_question,
    await_farewell,
    await_goodbye,
    await_leg,
    await_stream,
    await_stream_again,
    call_off_end,
    close_media,
    connect_again,
    dial_call,
    fall_back,
    farewell_with,
    greet_once,
    make_goodbye_final,
    no_stream,
    note_failure,
    note_hangup_cause,
    pause_record,
    prompt,
    reconnect,
    record,
    reject,
    repeat_answer,
    reset_tries,
    resume_conversation,
    rotate_engine,
    run_tool,
    send_hangup,
    set_engine_lost,
    set_engine_ready,
    set_leg_there,
    set_stream_gone,
    set_stream_up,
    start_farewell,
    start_last_minute,
    start_recovery,
    start_ringing,
    stream_on_answer,
    wait_for_stream,
    with_cause,
    with_requested_cause,
)
from callflow.call.machine.fallback_table import FALLBACK_TABLE
from callflow.call.machine.guards import (
    agent_says_goodbye,
    agent_silenced,
    asked_enough,
    carrier_asks,
    carrier_speaks,
    clip_plays,
    end_is_settled,
    engine_awaited,
    engine_expected,
    engine_is_up,
    has_fallback,
    in_farewell,
    is_adopted,
    is_dialled,
    is_gone,
    is_on_hold,
    is_queued,
    is_refused_for_room,
    is_transferred,
    may_reconnect,
    may_restream,
    media_is_lost,
    media_is_open,
    never_restreams,
    person_speaks,
    still_rings,
    stream_requested,
    streams_on_answer,
    unanswered,
)
from callflow.call.machine.line_table import LINE_TABLE
from callflow.call.machine.model import (
    ANSWERED,
    HANGUP,
    RECOVERING,
    RINGING,
    STREAMING,
)
from callflow.call.machine.row import AFTER_ANSWER, FLOWING, LIVE, TALKING, Row
from callflow.call.machine.sip_table import SIP_TABLE
from callflow.call.machine.transfer_table import AWAY, TRANSFER_TABLE
from callflow.call.machine.voicemail_table import VOICEMAIL_TABLE
from callflow.contracts.hangup_causes import NOT_DIALLED


GOODBYE: Final = "goodbye"
BUSY: Final = "busy"
UNAVAILABLE: Final = "unavailable"

TABLE: Final[tuple[Row, ...]] = (
    *VOICEMAIL_TABLE,  # before the rows that keep a conversation going
    *SIP_TABLE,  # before those that open a stream
    *FALLBACK_TABLE,  # before those that end a call, or give the caller back to the agent
    # A call arrives. Once the call is answered, a repeat of this event is inert.
    Row("call_initiated", RINGING, None, (answer_call,), when=(unanswered,)),
    Row("call_refused", RINGING, HANGUP, (reject,), when=(unanswered,)),
    Row("call_turned_away", RINGING, None, (answer_only, farewell_with(UNAVAILABLE)), when=(unanswered,)),
    Row("not_ours", LIVE, HANGUP, (with_cause("not_ours"),), when=(is_adopted,)),
    # An outbound call. It rings until somebody answers, the carrier says how it failed, or its time is up.
    Row("dial_requested", RINGING, None, (dial_call,), when=(unanswered,)),
    Row("dial_done", RINGING, None, (set_leg_there,), when=(is_dialled,)),
    Row("dial_unknown", RINGING, None, (await_leg,), when=(is_dialled,)),
    Row("dial_failed", RINGING, HANGUP, (note_failure,), when=(is_dialled,)),
    Row("media_lost", RINGING, None, (stream_on_answer,), when=(is_dialled,)),
    Row("stream_failed", RINGING, None, (stream_on_answer,), when=(is_dialled,)),
    Row("call_initiated", RINGING, None, (start_ringing,), when=(is_queued,)),
    Row("queue_deadline", RINGING, HANGUP, (with_cause(NOT_DIALLED), send_hangup)),
    Row("dial_deadline", RINGING, HANGUP, (with_cause("no_answer"), send_hangup)),
    # The call is answered, according to a webhook or to its audio. From here on the caller can hear us.
    Row("call_answered", RINGING, ANSWERED, (adopt_call, await_stream, ask_for_stream), when=(unanswered,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, start_farewell), when=(in_farewell,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, ask_for_stream, greet_once), when=(streams_on_answer,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, greet_once)),
    Row("media_started", RINGING, STREAMING, (adopt_call, set_stream_up), when=(unanswered,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (set_stream_up,), when=(carrier_speaks,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (set_stream_up, start_farewell), when=(in_farewell,)),
    Row("media_started", (RINGING, ANSWERED), STREAMING, (set_stream_up, greet_once)),
    # The stream is lost: wait for a hang-up webhook or a new socket (`grace`), then request another stream.
    Row("media_started", FLOWING, STREAMING, (set_stream_up, start_farewell), when=(media_is_lost, clip_plays)),
    Row("media_started", RECOVERING, STREAMING, (set_stream_up,), when=(in_farewell,)),
    Row("media_started", FLOWING, STREAMING, (set_stream_up, resume_conversation), when=(media_is_lost, engine_is_up)),
    Row("media_started", FLOWING, None, (set_stream_up,)),
    Row("media_lost", AFTER_ANSWER, None, (set_stream_gone,)),
    Row("grace_deadline", FLOWING, None, (start_farewell,), when=(media_is_lost, clip_plays)),
    Row("grace_deadline", FLOWING, None, (farewell_with(GOODBYE),), when=(media_is_lost, agent_says_goodbye)),
    Row(
        "grace_deadline",
        STREAMING,
        HANGUP,
        (with_cause("stream_lost"), send_hangup),
        when=(media_is_lost, never_restreams),
        unless=(in_farewell, has_fallback),
    ),
    Row("grace_deadline", FLOWING, RECOVERING, (restream,), when=(media_is_lost, may_restream), unless=(in_farewell,)),
    Row(
        "grace_deadline",
        AFTER_ANSWER,
        None,
        (fall_back("stream_lost"),),
        when=(media_is_lost,),
        unless=(in_farewell,),
    ),
    # The carrier asks what to do with a caller: the stream has ended, or our answer never arrived.
    Row("call_resumed", RINGING, ANSWERED, (adopt_call, await_stream, ask_for_stream), when=(unanswered,)),
    Row("call_resumed", RINGING, ANSWERED, (await_stream, start_farewell), when=(in_farewell,)),
    Row("call_resumed", RINGING, ANSWERED, (await_stream, ask_for_stream, greet_once)),
    Row("call_resumed", AFTER_ANSWER, None, (no_stream, start_farewell), when=(clip_plays,)),
    Row("call_resumed", AFTER_ANSWER, None, (no_stream, farewell_with(GOODBYE)), when=(agent_says_goodbye,)),
    Row("call_resumed", ANSWERED, None, (ask_for_stream,), unless=(in_farewell,)),
    Row(
        "call_resumed",
        FLOWING,
        RECOVERING,
        (no_stream, restream),
        when=(may_restream,),
        unless=(in_farewell, stream_requested),
    ),
    Row(
        "call_resumed",
        FLOWING,
        None,
        (no_stream, fall_back("stream_lost")),
        unless=(in_farewell, stream_requested),
    ),
    # The previous process is gone: this process takes the call back, or finds that the call is over.
    Row("call_recovered", LIVE, HANGUP, (with_cause("interrupted"),), when=(is_gone,)),
    Row("call_recovered", RINGING, None, (start_recovery, stream_on_answer), when=(still_rings, is_dialled)),
    Row("call_recovered", RINGING, None, (answer_call,), when=(still_rings, unanswered)),
    Row("call_recovered", RINGING, None, (start_recovery, repeat_answer), when=(still_rings,)),
    Row("call_recovered", RINGING, None, (start_recovery,), when=(carrier_asks,), unless=(unanswered,)),
    Row("call_recovered", RINGING, ANSWERED, (start_recovery, await_stream, start_farewell), when=(in_farewell,)),
    Row("call_recovered", RINGING, ANSWERED, (start_recovery, await_stream, ask_for_stream), unless=(unanswered,)),
    Row("call_recovered", RINGING, ANSWERED, (adopt_call, await_stream, ask_for_stream), unless=(carrier_asks,)),
    Row("call_recovered", AFTER_ANSWER, None, (start_recovery, await_farewell), when=(carrier_speaks,)),
    Row("call_recovered", AFTER_ANSWER, None, (start_recovery, start_farewell), when=(clip_plays,)),
    Row("call_recovered", AFTER_ANSWER, None, (start_recovery, farewell_with(GOODBYE)), when=(agent_says_goodbye,)),
    Row("call_recovered", ANSWERED, None, (start_recovery, await_stream_again), when=(carrier_asks,)),
    Row("call_recovered", ANSWERED, None, (start_recovery, await_stream_again, ask_for_stream)),
    Row("call_recovered", FLOWING, HANGUP, (with_cause("interrupted"), send_hangup), when=(never_restreams,)),
    Row("call_recovered", FLOWING, RECOVERING, (start_recovery, await_carriers_question), when=(carrier_asks,)),
    Row("call_recovered", FLOWING, RECOVERING, (start_recovery, restream)),
    # The stream cannot be opened, or its codec cannot be read.
    Row(
        "stream_failed",
        (RINGING, ANSWERED),
        ANSWERED,
        (fall_back("stream_failed"),),
        unless=(unanswered, in_farewell),
    ),
    Row("stream_failed", RINGING, ANSWERED, (start_farewell,), unless=(unanswered,)),
    Row("stream_failed", RECOVERING, None, (wait_for_stream,), when=(media_is_lost,), unless=(in_farewell,)),
    Row("stream_deadline", ANSWERED, None, (fall_back("stream_timeout"),), unless=(in_farewell,)),
    Row("restream_deadline", RECOVERING, None, (restream,), when=(media_is_lost, may_restream), unless=(in_farewell,)),
    Row(
        "restream_deadline",
        RECOVERING,
        None,
        (fall_back("stream_lost"),),
        when=(media_is_lost,),
        unless=(in_farewell,),
    ),
    Row(
        "media_refused",
        (RINGING, *AFTER_ANSWER),
        ANSWERED,
        (close_media, fall_back("codec_refused")),
        unless=(unanswered, in_farewell),
    ),
    Row("media_refused", RINGING, ANSWERED, (close_media, start_farewell), unless=(unanswered,)),
    # The engine. A session that breaks is replaced while a retry may help; otherwise the call ends with a sentence.
    Row("engine_ready", RINGING, None, (set_engine_ready,), when=(engine_awaited,)),
    Row(
        "engine_ready",
        RECOVERING,
        STREAMING,
        (set_engine_ready, resume_conversation),
        when=(engine_awaited, media_is_open),
    ),
    Row("engine_ready", AFTER_ANSWER, None, (set_engine_ready, greet_once), when=(engine_awaited,)),
    Row(
        "engine_lost",
        AFTER_ANSWER,
        None,
        (set_engine_lost, farewell_with(GOODBYE)),
        when=(engine_expected, agent_says_goodbye),
    ),
    Row(
        "engine_lost", STREAMING, RECOVERING, (reconnect,), when=(engine_expected, may_reconnect), unless=(in_farewell,)
    ),
    Row("engine_lost", TALKING, None, (reconnect,), when=(engine_expected, may_reconnect), unless=(in_farewell,)),
    Row(
        "engine_lost",
        RINGING,
        HANGUP,
        (set_engine_lost, with_cause("engine_lost"), send_hangup),
        when=(engine_expected, is_dialled),
    ),
    # Whoever speaks with the caller in place of the agent goes on without it.
    Row(
        "engine_lost",
        FLOWING,
        None,
        (set_engine_lost,),
        when=(engine_expected, person_speaks),
        unless=(in_farewell,),
    ),
    Row(
        "engine_lost",
        TALKING,
        None,
        (set_engine_lost, fall_back("engine_lost")),
        when=(engine_expected,),
        unless=(in_farewell,),
    ),
    Row("backoff_deadline", TALKING, None, (connect_again,), when=(engine_awaited,), unless=(in_farewell,)),
    Row(
        "engine_deadline",
        FLOWING,
        None,
        (set_engine_lost,),
        when=(engine_awaited, person_speaks),
        unless=(in_farewell,),
    ),
    Row("engine_deadline", RINGING, HANGUP, (with_cause("engine_timeout"), send_hangup), when=(is_dialled,)),
    Row(
        "engine_deadline",
        TALKING,
        None,
        (set_engine_lost, fall_back("engine_timeout")),
        when=(engine_awaited,),
        unless=(in_farewell,),
    ),
    Row("engine_expiring", STREAMING, None, (rotate_engine,), when=(engine_is_up,), unless=(in_farewell,)),
    Row("agent_heard", STREAMING, None, (reset_tries,)),
    # Tools: journalled before a tool runs, and before its answer is given.
    Row("tool_called", LIVE, None, (run_tool,), unless=(agent_silenced,)),
    Row("tool_finished", LIVE, None, (answer_tool,), unless=(agent_silenced,)),
    # The carrier records, or no longer. What it says of that decides nothing.
    Row("record_requested", (*AFTER_ANSWER, *AWAY), None, (record,)),
    Row("pause_requested", (*AFTER_ANSWER, *AWAY), None, (pause_record,)),
    # The caller is silent, or the time is nearly up.
    Row(
        "no_input",
        STREAMING,
        None,
        (with_cause("no_input"), prompt("no_input_goodbye"), await_goodbye),
        when=(asked_enough, engine_is_up),
        unless=(in_farewell, is_on_hold, is_transferred, person_speaks),
    ),
    Row(
        "no_input",
        STREAMING,
        None,
        (prompt("no_input"),),
        when=(engine_is_up,),
        unless=(in_farewell, is_on_hold, is_transferred, person_speaks),
    ),
    Row(
        "warning_deadline",
        STREAMING,
        None,
        (prompt("time_warning"), start_last_minute),
        when=(engine_is_up,),
        unless=(in_farewell, is_on_hold),
    ),
    Row("warning_deadline", AFTER_ANSWER, None, (start_last_minute,)),
    Row(
        "budget_reached",
        STREAMING,
        None,
        (prompt("time_warning"),),
        when=(engine_is_up,),
        unless=(in_farewell, is_on_hold, person_speaks),
    ),
    # The agent ends the call: the caller must hear its last words, and may interrupt them.
    Row(
        "end_requested",
        STREAMING,
        None,
        (with_requested_cause, await_goodbye),
        when=(engine_is_up,),
        unless=(in_farewell, is_on_hold, person_speaks),
    ),
    Row(
        "end_requested",
        AFTER_ANSWER,
        None,
        (with_requested_cause, farewell_with(GOODBYE)),
        unless=(in_farewell, person_speaks),
    ),
    Row("goodbye_heard", STREAMING, HANGUP, (send_hangup,), when=(agent_says_goodbye,)),
    Row("goodbye_interrupted", STREAMING, None, (call_off_end,), when=(agent_says_goodbye,), unless=(end_is_settled,)),
    Row("goodbye_interrupted", STREAMING, None, (farewell_with(GOODBYE),), when=(agent_says_goodbye,)),
    Row("last_words_deadline", AFTER_ANSWER, HANGUP, (send_hangup,), when=(agent_says_goodbye,)),
    # The last sentence is over, or cannot be said, or its time is up.
    Row("clip_played", AFTER_ANSWER, HANGUP, (send_hangup,), when=(clip_plays,)),
    Row("speak_ended", AFTER_ANSWER, HANGUP, (send_hangup,), when=(carrier_speaks,)),
    Row("speak_failed", AFTER_ANSWER, HANGUP, (send_hangup,), when=(carrier_speaks,)),
    Row("farewell_deadline", AFTER_ANSWER, HANGUP, (send_hangup,), when=(end_is_settled,)),
    # An operator, a limit or the server ends the call.
    Row("goodbye_requested", RINGING, HANGUP, (with_requested_cause, send_hangup)),
    Row(
        "goodbye_requested",
        AFTER_ANSWER,
        None,
        (with_requested_cause, farewell_with(BUSY)),
        when=(is_refused_for_room,),
        unless=(end_is_settled,),
    ),
    Row(
        "goodbye_requested",
        STREAMING,
        None,
        (make_goodbye_final,),
        when=(agent_says_goodbye, media_is_open, engine_is_up),
        unless=(end_is_settled,),
    ),
    Row(
        "goodbye_requested",
        AFTER_ANSWER,
        None,
        (with_requested_cause, farewell_with(GOODBYE)),
        unless=(end_is_settled,),
    ),
    Row("bridged_deadline", FLOWING, None, (farewell_with(GOODBYE, "too_long"),), unless=(end_is_settled,)),
    Row("call_deadline", AFTER_ANSWER, None, (farewell_with(GOODBYE, "too_long"),), unless=(end_is_settled,)),
    Row("ring_deadline", RINGING, HANGUP, (with_cause("dial_lost"), send_hangup), when=(is_dialled,)),
    Row("ring_deadline", RINGING, HANGUP, (with_cause("not_answered"), send_hangup)),
    Row("hangup_requested", LIVE, HANGUP, (with_requested_cause, send_hangup)),
    # The carrier refuses our command for good, or reports that the call is over.
    Row("answer_failed", RINGING, HANGUP, (note_failure, send_hangup)),
    Row("answer_gone", LIVE, HANGUP, (note_failure,)),
    Row("stream_gone", LIVE, HANGUP, (note_failure,)),
    Row("speak_gone", LIVE, HANGUP, (note_failure,)),
    Row("call_hangup", LIVE, HANGUP, (note_hangup_cause,)),
    *TRANSFER_TABLE,
    *LINE_TABLE,
)
