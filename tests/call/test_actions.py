"""What each action of the machine's rows does, by itself: its commands, and what the model remembers."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.call.machine import actions
from callflow.call.machine.model import (
    ANSWERED,
    BRIDGED,
    CLIP,
    DEADLINES,
    FALLBACK,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_PENDING,
    MESSAGE,
    ONE_MOMENT,
    RECOVERING,
    RINGING,
    SORRY,
    SPEAKING,
    STREAMING,
    Fallback,
    Model,
    Step,
)
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from callflow.contracts.commands import Command
from callflow.contracts.events import Event
from tests.call.exploration import EVENTS


class Done:
    """A call on which one action was done."""

    def __init__(
        self, action: Any, event: Event | None = None, *, before: str = STREAMING, after: str = STREAMING, **fields: Any
    ) -> None:
        self.model = Model()
        for name, value in fields.items():
            setattr(self.model, name, value)
        self.step = Step(event or Event(), before, after)
        action(self.model, self.step)

    @property
    def commands(self) -> list[Command]:
        """Without clocks."""
        return [one for one in self.step.commands if not isinstance(one, (do.Arm, do.Disarm))]

    @property
    def armed(self) -> list[str]:
        return [one.deadline for one in self.step.commands if isinstance(one, do.Arm)]

    @property
    def disarmed(self) -> list[str]:
        return [one.deadline for one in self.step.commands if isinstance(one, do.Disarm)]


# The beginning


@pytest.mark.parametrize("record", [True, False])
def test_a_call_is_answered_and_its_engine_connected_while_it_rings(record: bool) -> None:
    done = Done(actions.answer_call, ev.CallInitiated(record=record))
    assert done.commands == [do.Answer(record=record), do.ConnectEngine()]
    assert done.armed == ["engine", "ring"]
    assert done.model.answer_sent


def test_a_call_that_hears_a_sentence_only_is_answered_without_a_stream_and_an_engine() -> None:
    done = Done(actions.answer_only, ev.CallTurnedAway(reason="budget"))
    assert done.commands == [do.Answer(streamless=True)]
    assert (done.model.cause, done.model.answer_sent, done.model.engine) == ("budget", True, "none")


@pytest.mark.parametrize(
    ("asked", "stream", "engine", "armed"),
    [
        (ev.DialRequested(streams="with_dial", ring_seconds=7, record=True, machines="hang_up"), True, True, "dial"),
        (ev.DialRequested(streams="on_answer"), False, True, "dial"),
        (ev.DialRequested(streams="on_answer", queues=True), False, True, "queue"),
        (ev.DialRequested(streams="sip"), False, False, "dial"),
    ],
)
def test_an_outbound_call_is_dialled_as_it_was_asked_for(
    asked: ev.DialRequested, stream: bool, engine: bool, armed: str
) -> None:
    done = Done(actions.dial_call, asked)
    dial = do.Dial(ring_seconds=asked.ring_seconds, record=asked.record, stream=stream, machines=asked.machines)
    assert done.commands == [dial, do.ConnectEngine()][: 1 + engine]
    assert done.armed[-1] == armed
    assert done.model.dialled == asked.streams


def test_the_phone_rings_as_long_as_it_was_asked_to_from_when_the_queue_is_over() -> None:
    done = Done(actions.start_ringing, armed=frozenset({"queue"}))
    assert (done.disarmed, done.armed, done.model.armed) == (["queue"], ["dial"], frozenset({"dial"}))


@pytest.mark.parametrize(("dialled", "then"), [("with_dial", "on_answer"), ("on_answer", "on_answer"), ("sip", "sip")])
def test_a_stream_that_is_gone_before_the_answer_is_asked_for_then(dialled: str, then: str) -> None:
    assert Done(actions.stream_on_answer, dialled=dialled).model.dialled == then


@pytest.mark.parametrize("event", [ev.CallResumed(record=True), ev.CallResumed(), ev.CallAnswered()])
def test_a_stream_is_asked_for_with_a_recording_only_where_the_answer_that_asked_for_it_never_came(
    event: Event,
) -> None:
    assert Done(actions.ask_for_stream, event).commands == [do.StartStream(record=getattr(event, "record", False))]


# The stream


@pytest.mark.parametrize(
    ("farewell", "armed", "starts"),
    [("", [], True), ("", ["warning"], False), ("", ["call"], False), ("", ["bridged"], False), (CLIP, [], False),
     (MESSAGE, [], False)],
)  # fmt: skip
def test_the_clock_of_a_call_starts_with_its_stream_and_once(farewell: str, armed: list[str], starts: bool) -> None:
    done = Done(actions.set_stream_up, farewell=farewell, armed=frozenset({*armed, "ring", "stream", "grace"}))
    assert ("warning" in done.armed) is starts
    assert {"ring", "stream", "grace"} <= set(done.disarmed)
    assert (done.model.media, done.model.dialled) == ("open", "")


def test_noise_is_suppressed_once() -> None:
    done = Done(actions.set_stream_up, suppress_noise=True)
    assert do.SuppressNoise() in done.commands
    actions.set_stream_up(done.model, done.step)
    assert done.commands.count(do.SuppressNoise()) == 1


@pytest.mark.parametrize(
    ("farewell", "armed", "waits"), [("", [], True), (SPEAKING, [], False), ("", ["restream"], False), (CLIP, [], True)]
)
def test_after_a_stream_the_hang_up_is_waited_for(farewell: str, armed: list[str], waits: bool) -> None:
    done = Done(actions.set_stream_gone, farewell=farewell, armed=frozenset(armed))
    assert ("grace" in done.armed) is waits
    assert done.model.media == "lost"


def test_the_time_of_a_call_to_a_machine_is_not_counted() -> None:
    assert Done(actions.start_clock, farewell=MESSAGE).armed == []
    assert Done(actions.start_clock).armed == ["warning"]


# The engine


def test_the_first_retry_is_at_once_and_later_ones_after_a_pause_under_one_deadline() -> None:
    done = Done(actions.reconnect)
    assert done.commands == [do.ConnectEngine()]
    assert done.armed == ["engine"]
    for _ in range(3):
        actions.reconnect(done.model, done.step)
    assert done.commands == [do.ConnectEngine()]
    assert done.armed == ["engine", "backoff", "backoff", "backoff"]
    assert done.model.tries == 4


@pytest.mark.parametrize(("before", "greeted"), [(RINGING, False), (ANSWERED, False), (STREAMING, True)])
def test_a_greeting_that_nobody_can_have_heard_is_said_again(before: str, greeted: bool) -> None:
    assert Done(actions.reconnect, before=before, greeted=True).model.greeted is greeted
    assert Done(actions.start_recovery, before=before, greeted=True, media="lost").model.greeted is greeted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"engine": "ready", "back": True}, [do.Prompt(about="back")]),
        ({"engine": "ready", "greeted": True}, [do.Prompt(about="resume")]),
        ({"engine": "ready"}, [do.Greet()]),
        ({"engine": "connecting"}, []),
        ({"engine": "ready", "farewell": CLIP, "back": True}, []),
        ({"engine": "ready", "armed": frozenset({"hold"}), "greeted": True}, []),
        ({"engine": "ready", "armed": frozenset({"bridged"}), "greeted": True}, []),
    ],
)
def test_how_the_conversation_goes_on(fields: dict[str, Any], wanted: list[Command]) -> None:
    done = Done(actions.resume_conversation, **fields)
    assert done.commands == wanted
    actions.greet_once(done.model, done.step)
    assert done.commands.count(do.Greet()) <= 1


def test_a_prompt_says_which_time_it_is() -> None:
    assert Done(actions.prompt("no_input"), ev.NoInput(time=3)).commands == [do.Prompt(about="no_input", time=3)]
    assert Done(actions.prompt("time_warning")).commands == [do.Prompt(about="time_warning", time=1)]


# The end


def everything(*without: str) -> frozenset[str]:
    return frozenset(DEADLINES) - set(without)


@pytest.mark.parametrize(
    ("fields", "after", "wanted", "farewell"),
    [
        ({"media": "open", "sentence": SORRY}, STREAMING, [do.PlayClip(clip=SORRY)], CLIP),
        ({"media": "open", "sentence": FALLBACK, "fallback": Fallback("+15550100009")}, STREAMING,
         [do.SilenceAgent(), do.Speak(sentence=FALLBACK, goes_on=True)], SPEAKING),
        ({"media": "lost", "sentence": SORRY}, RECOVERING, [do.Speak(sentence=SORRY, goes_on=False)], SPEAKING),
        ({"sentence": SORRY}, RINGING, [], FAREWELL_PENDING),
    ],
)  # fmt: skip
def test_the_last_sentence_is_said_by_whichever_voice_can_be_heard(
    fields: dict[str, Any], after: str, wanted: list[Command], farewell: str
) -> None:
    done = Done(actions.start_farewell, after=after, armed=everything("hold", "farewell"), **fields)
    assert done.commands == wanted
    assert done.model.farewell == farewell
    left = everything("hold", "farewell") if farewell == FAREWELL_PENDING else {"farewell"}
    assert done.model.armed == left, "while it rings, the deadline of that goes on"


def test_the_last_sentence_ends_hold_and_transfer() -> None:
    fields: dict[str, Any] = {"media": "open", "transfer": "warm", "human": "joined"}
    done = Done(actions.farewell_with(SORRY, "engine_lost"), armed=frozenset({"hold"}), **fields)
    assert [type(one).__name__ for one in done.commands] == ["Hangup", "TellTransfer", "Unhold", "PlayClip"]
    assert done.model.cause == "engine_lost"
    assert Done(actions.farewell_with(SORRY), cause="before", media="open").model.cause == "before"


@pytest.mark.parametrize(
    ("fallback", "sentence"),
    [(None, SORRY), (Fallback("+15550100009"), ONE_MOMENT), (Fallback("+15550100009", spoken=True), FALLBACK),
     (Fallback("", spoken=True), FALLBACK)],
)  # fmt: skip
def test_what_a_caller_hears_whom_the_line_cannot_serve(fallback: Fallback | None, sentence: str) -> None:
    done = Done(actions.fall_back("engine_lost"), fallback=fallback, media="lost")
    assert (done.model.sentence, done.model.cause) == (sentence, "engine_lost")
    assert done.commands == [do.Speak(sentence=sentence, goes_on=fallback is not None and bool(fallback.number))]


def test_a_goodbye_may_be_called_off_and_a_final_one_has_one_deadline() -> None:
    done = Done(actions.await_goodbye, armed=frozenset({"call"}), transfer="warm")
    assert (done.model.farewell, done.model.armed) == (FAREWELL_BY_AGENT, frozenset({"call", "last_words"}))
    assert done.commands[-1] == do.AwaitGoodbye()
    actions.call_off_end(done.model, done.step)
    assert (done.model.farewell, done.model.armed) == ("", frozenset({"call"}))
    final = Done(actions.make_goodbye_final, armed=everything("farewell"))
    assert (final.model.farewell, final.model.armed) == (FAREWELL_BY_AGENT_FINAL, frozenset({"farewell"}))


@pytest.mark.parametrize(
    ("action", "event", "cause"),
    [
        (actions.with_cause("limit"), None, "limit"),
        (actions.with_requested_cause, ev.EndRequested(reason="agent"), "agent"),
        (actions.with_requested_cause, ev.HangupRequested(reason="operator"), "operator"),
        (actions.with_requested_cause, ev.CallHangup(cause="no request"), ""),
        (actions.note_hangup_cause, ev.CallHangup(cause="normal_clearing"), "normal_clearing"),
        (actions.note_hangup_cause, ev.CallHangup(), "unspecified"),
        (actions.note_failure, ev.CommandFailed(command="answer"), "answer_failed"),
        (actions.note_failure, ev.CommandFailed(command="answer", gone=True), "already_ended"),
        (actions.reject, ev.CallRefused(reason="draining"), "draining"),
    ],
)
def test_the_first_cause_stays(action: Any, event: Event | None, cause: str) -> None:
    assert Done(action, event).model.cause == cause
    assert Done(action, event, cause="earlier").model.cause == "earlier"


@pytest.mark.parametrize(("reason", "cause"), [("busy", "busy"), ("draining", "busy"), ("refused", "rejected")])
def test_only_a_refused_caller_is_told_that_they_were(reason: str, cause: str) -> None:
    assert Done(actions.reject, ev.CallRefused(reason=reason)).commands == [do.Reject(cause=cause)]  # type: ignore[arg-type]
    assert Done(actions.reject).commands == [do.Reject(cause="busy")]


@pytest.mark.parametrize(("cause", "quiet"), [("machine", True), ("fax", True), ("", False), ("limit", False)])
def test_a_machine_is_hung_up_on_quietly(cause: str, quiet: bool) -> None:
    assert Done(actions.send_hangup, cause=cause).commands == [do.Hangup(quiet=quiet)]


def test_after_the_end_nothing_is_armed_and_nothing_due() -> None:
    done = Done(
        actions.release, armed=everything(), engine="ready", media="open", farewell=CLIP, sentence=SORRY,
        dialled="sip", tries=2, stream_restarts=2, transfer="warm", human="joined", cause="limit",
    )  # fmt: skip
    assert done.commands[-1] == do.Release()
    fresh = Model()
    fresh.cause = "limit"
    assert done.model.key() == fresh.key()


@pytest.mark.parametrize("media", ["none", "open", "lost"])
@pytest.mark.parametrize("farewell", ["", CLIP, MESSAGE])
def test_a_process_that_takes_a_call_over_has_no_stream_and_no_session(media: str, farewell: str) -> None:
    done = Done(actions.start_recovery, media=media, farewell=farewell, tries=2, armed=everything())
    assert done.model.media == ("none" if media == "none" else "lost")
    assert done.model.tries == 0
    assert (do.ConnectEngine(message=farewell == MESSAGE) in done.commands) is (farewell != CLIP)
    assert (done.model.engine == "lost") is (farewell == CLIP)
    assert {"warning", "call", "hold", "bridged"} <= set(done.armed), "they go on"
    assert {"grace", "backoff", "farewell"} <= set(done.disarmed)
    assert do.Hold() in done.commands


@pytest.mark.parametrize(("before", "ends"), [(STREAMING, True), (BRIDGED, False), ("transferring", False)])
def test_a_transfer_that_only_had_begun_is_over_when_the_process_changes(before: str, ends: bool) -> None:
    done = Done(actions.start_recovery, before=before, transfer="warm")
    assert (do.TellTransfer(outcome="interrupted") in done.commands) is ends


def test_a_request_is_handed_on_as_it_is_and_other_events_are_none() -> None:
    table: list[tuple[Any, Event, Command | None]] = [
        (actions.run_tool, ev.ToolCalled(id="a"), do.RunTool(id="a")),
        (actions.answer_tool, ev.ToolFinished(id="a"), do.AnswerTool(id="a")),
        (actions.record, ev.RecordRequested(on=False), do.Record(on=False)),
        (actions.pause_record, ev.PauseRequested(on=True, carrier=True), do.PauseRecord(on=True)),
        (actions.pause_record, ev.PauseRequested(on=True), None),
    ]
    for action, event, command in table:
        assert Done(action, event).commands == ([command] if command is not None else [])
        assert Done(action).commands == []


def test_no_action_of_an_event_fails_for_another_event() -> None:
    """The machine is total: any event in any state."""
    of_events = (
        actions.answer_call, actions.answer_only, actions.dial_call, actions.ask_for_stream, actions.run_tool,
        actions.answer_tool, actions.with_requested_cause, actions.note_hangup_cause, actions.note_failure,
        actions.record, actions.pause_record, actions.reject, actions.prompt("no_input"),
    )  # fmt: skip
    for action in of_events:
        for event in EVENTS:
            Done(action, event)
