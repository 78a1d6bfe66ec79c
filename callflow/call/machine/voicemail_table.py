"""The rows of the table for answering machines: who has answered a call that we dialled, and the message that is left.

`Model.farewell` says how far the message is: the beep is awaited, the message is due, the agent says it. Whatever
breaks meanwhile ends the call, because nothing is explained to a machine, and nobody waits. Only a restart is survived,
unless the message was being said: what the machine has of it then is not known, and it is not said twice.
"""

from __future__ import annotations

from typing import Final

from callflow.call.machine.action_parts import restream
from callflow.call.machine.actions import (
    ask_for_stream,
    await_stream,
    no_stream,
    send_hangup,
    set_engine_ready,
    set_stream_up,
    start_recovery,
)
from callflow.call.machine.guards import (
    awaits_beep,
    carrier_asks,
    end_is_settled,
    engine_awaited,
    has_message,
    is_conversation,
    is_gone,
    is_machine,
    machine_matters,
    may_begin,
    may_restream,
    media_is_lost,
    media_is_open,
    says_message,
    still_rings,
    stream_requested,
    streams_on_answer,
)
from callflow.call.machine.model import ANSWERED, HANGUP, RECOVERING, RINGING, STREAMING
from callflow.call.machine.row import AFTER_ANSWER, FLOWING, TALKING, Row
from callflow.call.machine.voicemail_actions import await_beep, because_of, go_on_with_message, leave_message


VOICEMAIL_TABLE: Final[tuple[Row, ...]] = (
    Row("answered_by_machine", TALKING, None, (leave_message,), when=(awaits_beep, may_begin)),
    Row(
        "answered_by_fax",
        TALKING,
        HANGUP,
        (because_of("fax"), send_hangup),
        when=(machine_matters,),
        unless=(end_is_settled, is_conversation),
    ),
    Row(
        "answered_by_machine",
        TALKING,
        None,
        (leave_message,),
        when=(machine_matters, has_message, may_begin),
        unless=(media_is_lost, end_is_settled, is_conversation),
    ),
    Row(
        "answered_by_machine",
        TALKING,
        None,
        (await_beep,),
        when=(machine_matters, has_message),
        unless=(media_is_lost, end_is_settled, is_conversation),
    ),
    Row(
        "answered_by_machine",
        TALKING,
        HANGUP,
        (because_of("machine"), send_hangup),
        when=(machine_matters,),
        unless=(end_is_settled, is_conversation),
    ),
    Row("beep_deadline", TALKING, None, (leave_message,)),
    Row("message_left", STREAMING, HANGUP, (send_hangup,), when=(says_message,)),
    Row("message_deadline", TALKING, HANGUP, (send_hangup,)),
    Row("call_answered", RINGING, ANSWERED, (await_stream, ask_for_stream), when=(is_machine, streams_on_answer)),
    Row("call_answered", RINGING, ANSWERED, (await_stream,), when=(is_machine,)),
    Row("media_started", TALKING, STREAMING, (set_stream_up, go_on_with_message), when=(is_machine,)),
    Row(
        "engine_ready",
        RECOVERING,
        STREAMING,
        (set_engine_ready, go_on_with_message),
        when=(is_machine, engine_awaited, media_is_open),
    ),
    Row("engine_ready", TALKING, None, (set_engine_ready, go_on_with_message), when=(is_machine, engine_awaited)),
    Row("call_resumed", RINGING, ANSWERED, (await_stream, ask_for_stream), when=(is_machine,)),
    Row("call_resumed", ANSWERED, None, (ask_for_stream,), when=(is_machine,)),
    Row(
        "call_resumed",
        RECOVERING,
        None,
        (no_stream, restream),
        when=(is_machine, may_restream),
        unless=(stream_requested,),
    ),
    Row("call_resumed", FLOWING, HANGUP, (send_hangup,), when=(is_machine,), unless=(stream_requested,)),
    Row("call_recovered", STREAMING, HANGUP, (send_hangup,), when=(says_message,), unless=(is_gone,)),
    Row(
        "call_recovered",
        RINGING,
        ANSWERED,
        (start_recovery, await_stream, ask_for_stream),
        when=(is_machine,),
        unless=(is_gone, still_rings, carrier_asks),
    ),
    *(
        Row(broken, AFTER_ANSWER, HANGUP, (send_hangup,), when=(is_machine,))
        for broken in (
            "engine_lost",
            "engine_deadline",
            "media_lost",
            "grace_deadline",
            "stream_deadline",
            "restream_deadline",
        )
    ),
    *(
        Row(broken, TALKING, HANGUP, (send_hangup,), when=(is_machine,))
        for broken in ("stream_failed", "media_refused")
    ),
)
