"""What odd orders of events mean to a call, each by name. tests/call/test_machine.py goes through all of them."""

from __future__ import annotations

import pytest

from callflow.call import machine
from callflow.call.machine import ANSWERED, BRIDGED, HANGUP, RECOVERING, STREAMING, TRANSFERRING, Model, Step, take
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from callflow.contracts.events import Event


def passed(deadline: str) -> Event:
    return ev.DeadlinePassed(deadline=deadline)


def done(command: str) -> Event:
    return ev.CommandDone(command=command)


def failed(command: str) -> Event:
    return ev.CommandFailed(command=command)


def gone(command: str) -> Event:
    return ev.CommandFailed(command=command, gone=True)


class Told:
    """A call, and what it was told: each `tell` returns the commands by name, clocks left out."""

    def __init__(self, *events: Event) -> None:
        self.model = Model()
        self.step = Step(Event(), "")
        for event in events:
            self.tell(event)

    def tell(self, event: Event) -> list[str]:
        self.step = take(self.model, event)
        return [command.name for command in self.step.commands if not isinstance(command, (do.Arm, do.Disarm))]

    @property
    def sentence(self) -> str:
        """What is said by the newest step, and by whom."""
        for command in self.step.commands:
            if isinstance(command, do.PlayClip):
                return f"clip {command.clip}"
            if isinstance(command, do.Speak):
                return f"carrier {command.sentence}"
        return ""


INITIATED, CALL_ANSWERED, STARTED, LOST = ev.CallInitiated(), ev.CallAnswered(), ev.MediaStarted(), ev.MediaLost()
READY, HUNG_UP = ev.EngineReady(), ev.CallHangup(cause="normal_clearing")
ENGINE_LOST = ev.EngineLost(retry=False)
"""For good: another session would do no better."""
ENGINE_BROKE = ev.EngineLost()
TALKING = (INITIATED, READY, CALL_ANSWERED, STARTED)


def test_what_was_tried_is_forgotten_when_the_agent_is_heard_again() -> None:
    call = Told(*TALKING)
    for _ in range(10):  # three of each in a row would be enough
        for broken, mended in ((LOST, STARTED), (ENGINE_BROKE, READY)):
            call.tell(broken)
            call.tell(passed("grace"))
            assert call.model.state == RECOVERING, "it was given up"
            call.tell(mended)
            assert call.model.state == STREAMING
        call.tell(ev.AgentHeard())
        assert (call.model.tries, call.model.stream_restarts) == (0, 0)


def test_the_main_road() -> None:
    call = Told()
    assert call.tell(INITIATED) == ["answer", "connect_engine"]
    assert call.model.armed == {"ring", "engine"}
    assert call.tell(done("answer")) == []
    assert call.tell(READY) == [], "nobody hears a greeting while it rings"
    assert call.tell(CALL_ANSWERED) == ["greet"]
    assert call.model.armed == {"stream", "warning"}
    assert call.tell(ev.StreamAnnounced()) == []
    assert call.tell(STARTED) == []
    assert call.model.armed == {"warning"}
    assert (call.model.state, call.model.farewell) == (STREAMING, "")
    assert call.tell(HUNG_UP) == ["release"]
    assert (call.model.state, call.model.cause) == (HANGUP, "normal_clearing")


def test_the_caller_is_greeted_as_soon_as_a_slow_engine_is_ready() -> None:
    call = Told(INITIATED, CALL_ANSWERED, STARTED)
    assert call.tell(READY) == ["greet"]
    assert call.tell(READY) == []


def test_a_call_that_is_refused_is_on_record_and_rejected() -> None:
    call = Told()
    assert call.tell(ev.CallRefused(reason="busy")) == ["reject", "release"]
    assert (call.model.state, call.model.cause) == (HANGUP, "busy")


def test_a_process_dies_between_the_webhook_and_the_answer() -> None:
    """The carrier was told that the webhook is served, so it sends it to nobody else."""
    call = Told()
    assert call.tell(ev.CallRecovered(found="ringing")) == ["answer", "connect_engine"]
    assert call.tell(INITIATED) == [], "sent again, it changes nothing"
    assert call.tell(CALL_ANSWERED) == []
    assert call.model.state == ANSWERED

    call = Told()
    assert call.tell(ev.CallRecovered(found="answered")) == ["connect_engine", "stream"], "the answer was not on record"
    assert call.tell(STARTED) == []
    assert call.tell(READY) == ["greet"]

    call = Told()
    assert call.tell(ev.CallRecovered(found="asking")) == [], "the answer is what the carrier is told then"
    assert call.tell(ev.CallResumed()) == ["connect_engine", "stream"]
    assert Told().tell(ev.CallRecovered(found="gone")) == ["release"]


def test_hangup_comes_first() -> None:
    call = Told()
    assert call.tell(HUNG_UP) == ["release"]
    for late in (INITIATED, CALL_ANSWERED, STARTED, READY, HUNG_UP):
        assert call.tell(late) == []


def test_answered_comes_before_initiated() -> None:
    call = Told()
    assert call.tell(CALL_ANSWERED) == ["connect_engine", "stream"], "adopted: a stream is asked for, no answer sent"
    assert call.tell(INITIATED) == []
    assert call.tell(READY) == ["greet"]
    assert call.tell(STARTED) == []
    assert call.model.state == STREAMING


def test_media_comes_before_initiated() -> None:
    call = Told()
    assert call.tell(STARTED) == ["connect_engine"]
    assert call.tell(INITIATED) == []
    assert call.tell(CALL_ANSWERED) == []
    assert call.model.state == STREAMING
    assert call.tell(READY) == ["greet"]


def test_media_comes_before_answered() -> None:
    call = Told(INITIATED, READY)
    assert call.tell(STARTED) == ["greet"]
    assert call.tell(CALL_ANSWERED) == []
    assert call.model.armed == {"warning"}, "the ring deadline is over, the longest call has begun"


@pytest.mark.parametrize("repeated", [INITIATED, CALL_ANSWERED, STARTED, READY], ids=lambda event: event.name)
def test_everything_comes_twice(repeated: Event) -> None:
    call = Told()
    for event in TALKING:
        call.tell(event)
        if event is repeated:
            assert call.tell(event) == []
    assert call.tell(repeated) == []
    assert call.model.state == STREAMING
    assert call.model.armed == {"warning"}


def test_the_call_is_over_when_we_answer() -> None:
    """Telnyx says 422 with 90018."""
    call = Told(INITIATED)
    assert call.tell(gone("answer")) == ["release"]
    assert call.model.cause == "already_ended"


def test_a_repeated_answer_is_told_that_the_call_is_over_meanwhile() -> None:
    call = Told(INITIATED, CALL_ANSWERED)
    assert call.tell(gone("answer")) == ["release"]


def test_an_answer_that_fails_for_good() -> None:
    call = Told(INITIATED)
    assert call.tell(failed("answer")) == ["hangup", "release"]
    assert call.model.cause == "answer_failed"


@pytest.mark.parametrize("evidence", [CALL_ANSWERED, STARTED], ids=lambda event: event.name)
def test_an_answer_that_is_reported_lost_but_was_obeyed(evidence: Event) -> None:
    call = Told(INITIATED, evidence)
    assert call.tell(failed("answer")) == []
    assert call.model.state != HANGUP


def test_answered_is_lost_but_the_audio_comes() -> None:
    call = Told(INITIATED, done("answer"), READY)
    assert call.tell(STARTED) == ["greet"]


def test_answered_is_lost_and_no_audio_comes() -> None:
    call = Told(INITIATED, done("answer"), READY)
    assert call.tell(passed("ring")) == ["hangup", "release"]
    assert call.model.cause == "not_answered"


def test_hangup_is_lost_but_the_stream_ends() -> None:
    call = Told(*TALKING, ev.Dtmf(digit="5"))
    assert call.tell(LOST) == []
    assert call.model.armed == {"warning", "grace"}
    assert call.tell(passed("grace")) == ["stream"], "perhaps only the stream is over"
    assert call.tell(gone("stream")) == ["release"]
    assert call.model.cause == "already_ended"


def test_hangup_comes_within_the_grace_after_the_stream() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(HUNG_UP) == ["release"]
    assert call.model.cause == "normal_clearing"


def test_the_stream_comes_back_within_the_grace() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(STARTED) == ["prompt"], "what was cut off is taken up"
    assert call.model.media == "open"
    assert call.model.armed == {"warning"}
    assert call.tell(passed("grace")) == [], "its timer was on the way already"


def test_the_socket_comes_and_goes_before_its_start() -> None:
    call = Told(INITIATED, READY, CALL_ANSWERED)
    assert call.tell(LOST) == []
    assert call.tell(passed("grace")) == ["speak"]
    assert call.sentence == "carrier sorry"


def test_a_socket_that_goes_while_it_rings_may_come_again() -> None:
    call = Told(INITIATED)
    assert call.tell(LOST) == []
    assert call.model.armed == {"ring", "engine"}
    assert call.tell(STARTED) == []
    assert call.model.state == STREAMING


def test_no_stream_comes() -> None:
    call = Told(INITIATED, READY, CALL_ANSWERED)
    assert call.tell(passed("stream")) == ["speak"]
    assert call.sentence == "carrier sorry"
    assert call.model.armed == {"farewell"}
    assert call.tell(ev.SpeakEnded()) == ["hangup", "release"]
    assert call.model.cause == "stream_timeout"


@pytest.mark.parametrize("before", [(INITIATED,), (INITIATED, CALL_ANSWERED)], ids=["ringing", "answered"])
def test_the_carrier_cannot_open_the_stream(before: tuple[Event, ...]) -> None:
    """It opens one when the call is answered, so this is the answer too where that webhook was lost."""
    call = Told(*before)
    assert call.tell(ev.StreamFailed(reason="connection_failed")) == ["speak"]
    assert call.model.state == ANSWERED
    assert call.tell(CALL_ANSWERED) == []
    assert call.tell(ev.StreamFailed()) == []
    assert call.tell(ev.SpeakEnded()) == ["hangup", "release"]


def test_the_stream_that_we_asked_for_is_refused() -> None:
    call = Told(CALL_ANSWERED)
    assert call.tell(failed("stream")) == ["speak"]
    assert call.model.cause == "stream_failed"


def test_the_call_is_over_when_we_ask_for_a_stream() -> None:
    call = Told(CALL_ANSWERED)
    assert call.tell(gone("stream")) == ["release"]
    assert call.model.cause == "already_ended"


def test_no_stream_can_be_opened_after_the_engine_was_lost_while_ringing() -> None:
    call = Told(INITIATED, ENGINE_LOST)
    assert call.tell(ev.StreamFailed()) == ["speak"]
    assert (call.model.state, call.model.cause) == (ANSWERED, "engine_lost")


def test_a_failed_stream_is_old_news_once_the_audio_flows() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.StreamFailed()) == []
    assert call.tell(failed("stream")) == []


@pytest.mark.parametrize("before", [(INITIATED,), (INITIATED, CALL_ANSWERED), (*TALKING, LOST)])
def test_a_codec_that_we_cannot_read(before: tuple[Event, ...]) -> None:
    call = Told(*before)
    assert call.tell(ev.MediaRefused(reason="opus")) == ["close_media", "speak"]
    assert call.sentence == "carrier sorry"
    assert call.model.cause == "codec_refused"
    assert call.tell(LOST) == [], "our own closing of it"
    assert call.model.armed == {"farewell"}


def test_a_codec_that_we_cannot_read_after_the_engine_was_lost_while_ringing() -> None:
    call = Told(INITIATED, ENGINE_LOST)
    assert call.tell(ev.MediaRefused()) == ["close_media", "speak"]
    assert (call.model.state, call.model.cause) == (ANSWERED, "engine_lost")


def test_the_engine_is_lost_while_it_rings_and_the_carrier_apologises() -> None:
    call = Told(INITIATED)
    assert call.tell(ENGINE_LOST) == []
    assert call.model.farewell == machine.FAREWELL_PENDING
    assert call.tell(CALL_ANSWERED) == ["speak"]
    assert call.sentence == "carrier sorry"
    assert call.tell(STARTED) == [], "the stream comes too late: the sentence is being said"
    assert call.tell(ev.SpeakEnded()) == ["hangup", "release"]
    assert call.model.cause == "engine_lost"


def test_the_engine_is_lost_while_it_rings_and_the_stream_comes_first() -> None:
    call = Told(INITIATED, ENGINE_LOST)
    assert call.tell(STARTED) == ["play_clip"]
    assert call.tell(CALL_ANSWERED) == []
    assert call.tell(ev.ClipPlayed(clip="sorry")) == ["hangup", "release"]


def test_the_engine_is_lost_while_it_rings_and_nobody_ever_answers() -> None:
    call = Told(INITIATED, ENGINE_LOST)
    assert call.tell(passed("ring")) == ["hangup", "release"]
    assert call.model.cause == "engine_lost"


@pytest.mark.parametrize("how", [ENGINE_LOST, passed("engine")], ids=["lost", "too slow"])
def test_the_engine_fails_before_the_stream_is_up(how: Event) -> None:
    call = Told(INITIATED, CALL_ANSWERED)
    assert call.tell(how) == ["speak"]
    assert call.model.armed == {"farewell"}


@pytest.mark.parametrize("how", [ENGINE_LOST, passed("engine")], ids=["lost", "too slow"])
def test_the_engine_fails_while_the_stream_is_up(how: Event) -> None:
    call = Told(INITIATED, CALL_ANSWERED, STARTED)
    assert call.tell(how) == ["play_clip"]
    assert call.sentence == "clip sorry"
    assert call.tell(READY) == [], "too late"
    assert call.tell(ev.ClipPlayed(clip="sorry")) == ["hangup", "release"]


def test_the_engine_is_lost_in_mid_conversation() -> None:
    call = Told(*TALKING)
    assert call.tell(ENGINE_LOST) == ["play_clip"]
    assert call.tell(ENGINE_LOST) == []
    assert call.tell(passed("farewell")) == ["hangup", "release"]


def test_the_engine_is_lost_in_the_grace_after_the_stream() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(ENGINE_LOST) == ["speak"]
    assert call.tell(gone("speak")) == ["release"], "the stream had ended because the call had"


def test_the_stream_is_lost_in_the_middle_of_a_clip() -> None:
    call = Told(*TALKING, ENGINE_LOST)
    assert call.tell(LOST) == []
    assert call.model.armed == {"farewell", "grace"}
    assert call.tell(passed("grace")) == ["speak"], "the carrier says it instead"
    assert call.tell(ev.ClipPlayed()) == []
    assert call.tell(ev.SpeakEnded()) == ["hangup", "release"]


def test_the_stream_comes_back_in_the_middle_of_a_clip() -> None:
    call = Told(*TALKING, ENGINE_LOST, LOST)
    assert call.tell(STARTED) == ["play_clip"], "from its beginning: what was at the carrier is gone"
    assert call.tell(ev.ClipPlayed()) == ["hangup", "release"]


@pytest.mark.parametrize("how", [failed("speak"), ev.SpeakEnded(status="call_hangup"), passed("farewell")])
def test_the_carrier_cannot_speak_or_does_not_end(how: Event) -> None:
    call = Told(INITIATED, CALL_ANSWERED, ENGINE_LOST)
    assert call.tell(how) == ["hangup", "release"]
    assert call.model.cause == "engine_lost"


def test_shutdown_while_it_rings() -> None:
    call = Told(INITIATED)
    assert call.tell(ev.GoodbyeRequested()) == ["hangup", "release"]
    assert call.model.cause == "shutdown"


def test_shutdown_before_the_stream_is_up() -> None:
    call = Told(INITIATED, CALL_ANSWERED)
    assert call.tell(ev.GoodbyeRequested()) == ["speak"]
    assert call.sentence == "carrier goodbye"


def test_shutdown_in_mid_conversation() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.GoodbyeRequested()) == ["play_clip"]
    assert call.sentence == "clip goodbye"
    assert call.tell(ev.GoodbyeRequested()) == []
    assert call.tell(ev.ClipPlayed(clip="goodbye")) == ["hangup", "release"]
    assert call.model.cause == "shutdown"


def test_shutdown_while_an_apology_is_being_said() -> None:
    call = Told(*TALKING, ENGINE_LOST)
    assert call.tell(ev.GoodbyeRequested()) == []
    assert call.model.cause == "engine_lost"


def test_shutdown_of_a_call_that_is_over() -> None:
    call = Told(*TALKING, HUNG_UP)
    assert call.tell(ev.GoodbyeRequested()) == []


@pytest.mark.parametrize("state", [(INITIATED,), (INITIATED, CALL_ANSWERED), TALKING, (*TALKING, ENGINE_LOST)])
def test_an_end_at_once_needs_no_sentence(state: tuple[Event, ...]) -> None:
    call = Told(*state)
    assert call.tell(ev.HangupRequested()) == ["hangup", "release"]


def test_whoever_ends_a_call_gives_the_cause() -> None:
    """A call adopted over the limit was on record as `shutdown`, and one ended by a shutdown as `requested`."""
    call = Told(CALL_ANSWERED, ev.GoodbyeRequested(reason="busy"))
    assert call.model.cause == "busy"
    assert call.sentence.endswith("busy"), "a caller for whom there is no room was told goodbye instead"
    call = Told(*TALKING, ev.HangupRequested(reason="shutdown"))
    assert call.model.cause == "shutdown"


def test_the_longest_call_ends_with_a_goodbye() -> None:
    call = Told(*TALKING)
    assert call.tell(passed("warning")) == ["prompt"], "the caller is told that the time is nearly up"
    assert call.tell(passed("call")) == ["play_clip"]
    assert call.sentence == "clip goodbye"
    assert call.model.cause == "too_long"


def test_a_leg_that_we_did_not_dial() -> None:
    call = Told(CALL_ANSWERED)
    assert call.tell(ev.NotOurs()) == ["release"], "it is let go of, and the carrier is told nothing"


def test_a_call_that_parts_has_one_clock_only() -> None:
    """The engine's and the longest call's deadlines went on beside the farewell's, and passed without any effect."""
    call = Told(INITIATED, CALL_ANSWERED, ev.GoodbyeRequested())
    assert call.model.armed == {"farewell"}
    call.tell(STARTED)
    assert call.model.armed == {"farewell"}
    call.tell(LOST)
    assert call.model.armed == {"farewell"}


def test_another_legs_deadline_does_not_take_away_the_callers() -> None:
    """It was struck off the armed deadlines, which could have left the caller without any."""
    call = Told(INITIATED)
    call.tell(ev.DeadlinePassed(deadline="ring", leg="transfer"))
    assert "ring" in call.model.armed


def test_a_deadline_that_was_disarmed_while_its_event_was_on_the_way_is_inert() -> None:
    call = Told(INITIATED, CALL_ANSWERED)
    assert call.tell(passed("ring")) == []
    assert not call.step.taken


def test_a_copy_is_a_twin_and_not_the_same() -> None:
    model = Told(*TALKING).model
    twin = model.copy()
    assert twin.key() == model.key()
    take(twin, HUNG_UP)
    assert model.state == STREAMING


# What breaks, and is mended


def test_the_engine_breaks_in_mid_call_and_another_session_takes_over() -> None:
    call = Told(*TALKING)
    assert call.tell(ENGINE_BROKE) == ["connect_engine"], "at once, the first time"
    assert call.model.state == RECOVERING
    assert call.tell(READY) == ["prompt"]
    assert call.model.state == STREAMING
    assert call.model.armed == {"warning"}


def test_an_engine_that_breaks_again_and_again_is_given_up() -> None:
    call = Told(*TALKING, ENGINE_BROKE)
    for _ in range(2):
        assert call.tell(ENGINE_BROKE) == [], "after a pause, from the second time on"
        assert call.tell(passed("backoff")) == ["connect_engine"]
    assert call.tell(ENGINE_BROKE) == ["play_clip"]
    assert (call.sentence, call.model.cause) == ("clip sorry", "engine_lost")


def test_all_the_tries_together_have_one_deadline() -> None:
    call = Told(*TALKING, ENGINE_BROKE, ENGINE_BROKE, passed("backoff"))
    assert "engine" in call.model.armed
    assert call.tell(passed("engine")) == ["play_clip"]
    assert call.model.cause == "engine_timeout"


def test_an_engine_that_is_gone_for_good_is_not_tried_again() -> None:
    call = Told(*TALKING)
    assert call.tell(ENGINE_LOST) == ["play_clip"]


def test_an_engine_that_breaks_while_it_rings_is_tried_again() -> None:
    call = Told(INITIATED, READY)
    assert call.tell(ENGINE_BROKE) == ["connect_engine"]
    assert call.tell(CALL_ANSWERED) == []
    assert call.tell(READY) == ["greet"]


def test_a_greeting_that_nobody_can_have_heard_is_said_by_the_next_session() -> None:
    call = Told(INITIATED, READY, CALL_ANSWERED)
    assert call.model.greeted
    assert call.tell(ENGINE_BROKE) == ["connect_engine"]
    assert call.tell(STARTED) == []
    assert call.tell(READY) == ["greet"]


def test_the_stream_is_lost_and_another_one_is_asked_for() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(passed("grace")) == ["stream"]
    assert call.model.state == RECOVERING
    assert call.tell(STARTED) == ["prompt"]
    assert call.model.state == STREAMING
    assert call.model.armed == {"warning"}


def test_a_stream_that_does_not_come_back_is_asked_for_a_few_times_and_then_the_carrier_speaks() -> None:
    call = Told(*TALKING, LOST, passed("grace"))
    assert call.tell(failed("stream")) == [], "the carrier may be able to in a moment"
    assert call.tell(passed("grace")) == ["stream"]
    assert call.tell(passed("restream")) == ["stream"]
    assert call.tell(passed("restream")) == ["speak"]
    assert (call.sentence, call.model.cause) == ("carrier sorry", "stream_lost")


@pytest.mark.parametrize("first", ["engine", "stream"])
def test_engine_and_stream_are_lost_together_and_come_back_in_either_order(first: str) -> None:
    call = Told(*TALKING, ENGINE_BROKE, LOST)
    assert call.tell(passed("grace")) == ["stream"]
    back = (READY, STARTED) if first == "engine" else (STARTED, READY)
    assert call.tell(back[0]) == []
    assert call.model.state == RECOVERING
    assert call.tell(back[1]) == ["prompt"]
    assert call.model.state == STREAMING


def test_where_streams_cannot_be_asked_for_the_end_of_one_is_the_end() -> None:
    call = Told()
    call.model = Model(stream_tries=0)
    for event in (*TALKING, LOST):
        call.tell(event)
    assert call.tell(passed("grace")) == ["hangup", "release"]
    assert call.model.cause == "stream_lost"


def test_a_session_that_will_end_is_replaced_while_it_goes_on() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.EngineExpiring(ms=60_000)) == ["rotate_engine"]
    assert call.model.state == STREAMING


# Who ends the call, and how


def test_the_agent_ends_the_call_when_its_goodbye_was_heard() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.EndRequested()) == ["await_goodbye"]
    assert call.tell(ev.GoodbyeHeard()) == ["hangup", "release"]
    assert call.model.cause == "agent"


def test_a_goodbye_that_is_never_heard_has_a_deadline() -> None:
    call = Told(*TALKING, ev.EndRequested())
    assert call.tell(passed("last_words")) == ["hangup", "release"]


def test_a_caller_who_breaks_into_the_goodbye_has_more_to_say() -> None:
    call = Told(*TALKING, ev.EndRequested())
    assert call.tell(ev.GoodbyeInterrupted()) == []
    assert call.model.armed == {"warning"}
    assert call.tell(ev.GoodbyeHeard()) == [], "the end was called off"
    assert call.tell(ev.EndRequested()) == ["await_goodbye"]


def test_a_goodbye_that_is_asked_for_while_the_agent_says_one_is_that_one_and_the_end_comes() -> None:
    call = Told(*TALKING, ev.EndRequested())
    assert call.tell(ev.GoodbyeRequested(reason="operator")) == [], (
        "the agent was interrupted in its goodbye by another"
    )
    assert call.tell(ev.GoodbyeRequested(reason="operator")) == []
    assert call.model.armed == {"farewell"}
    assert call.tell(ev.GoodbyeHeard()) == ["hangup", "release"]
    assert call.model.cause == "agent"

    call = Told(*TALKING, ev.EndRequested(), ev.GoodbyeRequested(reason="operator"))
    assert call.tell(ev.GoodbyeInterrupted()) == ["play_clip"], "somebody wants the end, whatever the caller says"
    assert call.sentence == "clip goodbye"
    assert call.tell(ev.GoodbyeHeard()) == []

    for lost in (ENGINE_BROKE, ENGINE_LOST):
        call = Told(*TALKING, ev.EndRequested(), ev.GoodbyeRequested(reason="operator"))
        assert call.tell(lost) == ["play_clip"]

    call = Told(*TALKING, ev.EndRequested(), ev.GoodbyeRequested(reason="operator"))
    assert call.tell(ev.HangupRequested(reason="operator")) == ["hangup", "release"]

    call = Told(*TALKING, ev.EndRequested(), ev.GoodbyeRequested(reason="operator"))
    assert call.tell(ev.CallRecovered(found="answered")) == ["speak"], "the next process says it"
    assert call.tell(ev.SpeakEnded()) == ["hangup", "release"]


def test_an_engine_that_breaks_in_its_goodbye_is_spoken_for() -> None:
    call = Told(*TALKING, ev.EndRequested())
    assert call.tell(ENGINE_BROKE) == ["play_clip"]
    assert call.sentence == "clip goodbye"


def test_a_caller_who_says_nothing_is_asked_twice_and_then_let_go() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.NoInput(time=1)) == ["prompt"]
    assert call.tell(ev.NoInput(time=2)) == ["prompt"]
    assert call.tell(ev.NoInput(time=3, last=True)) == ["prompt", "await_goodbye"]
    assert call.tell(ev.GoodbyeHeard()) == ["hangup", "release"]
    assert call.model.cause == "no_input"


def test_a_tool_runs_once_it_is_on_record_and_is_answered_once_its_result_is() -> None:
    call = Told(*TALKING)
    assert call.tell(ev.ToolCalled(id="c", tool="look")) == ["run_tool"]
    assert call.tell(ENGINE_BROKE) == ["connect_engine"]
    assert call.tell(ev.ToolFinished(id="c", tool="look")) == ["answer_tool"], "the next session is given the answer"


def test_no_tool_runs_for_an_agent_that_has_had_its_last_word() -> None:
    call = Told(*TALKING, ENGINE_LOST)
    assert call.tell(ev.ToolCalled(id="c")) == []
    assert call.tell(ev.ToolFinished(id="c")) == []


# The carrier asks what to do with a caller

RESUMED = ev.CallResumed()


def test_a_caller_who_comes_back_without_a_stream_gets_another() -> None:
    call = Told(*TALKING)
    assert call.tell(RESUMED) == ["stream"], "the carrier would not ask if it had one, whatever we believe of ours"
    assert call.model.state == RECOVERING
    assert call.tell(STARTED) == ["prompt"]
    assert call.model.state == STREAMING


def test_a_caller_who_comes_back_while_a_stream_is_under_way_changes_nothing() -> None:
    call = Told(*TALKING, LOST, passed("grace"))
    assert call.tell(RESUMED) == []
    assert not call.step.taken


def test_a_caller_who_comes_back_before_the_grace_is_over_is_not_kept_waiting() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(RESUMED) == ["stream"]
    assert "grace" not in call.model.armed


def test_a_caller_who_comes_back_for_whom_nothing_more_can_be_tried_is_apologised_to() -> None:
    call = Told(*TALKING)
    call.model.stream_restarts = call.model.stream_tries
    call.tell(RESUMED)
    assert call.sentence == "carrier sorry"


def test_a_call_whose_answer_never_arrived_is_answered_when_its_caller_comes_back() -> None:
    call = Told(INITIATED, READY)
    assert call.tell(RESUMED) == ["stream", "greet"]
    assert call.model.state == ANSWERED


def test_a_call_that_nobody_here_began_is_taken_as_it_is() -> None:
    call = Told()
    assert call.tell(RESUMED) == ["connect_engine", "stream"]
    assert call.model.adopted


def test_a_caller_who_comes_back_in_the_last_sentence_hears_it_from_the_carrier() -> None:
    call = Told(*TALKING, ev.GoodbyeRequested(reason="drain"))
    assert call.sentence == "clip goodbye"
    call.tell(RESUMED)
    assert call.sentence == "carrier goodbye"


def test_an_ended_call_is_not_taken_up_again() -> None:
    call = Told(*TALKING, HUNG_UP)
    assert call.tell(RESUMED) == []
    assert call.model.state == HANGUP


def test_a_call_that_waits_in_the_carriers_queue_does_not_ring_yet() -> None:
    """A carrier that dials one call a second would else have had its last ones hung up before they rang."""
    asked = ev.DialRequested(streams="on_answer", queues=True)
    call = Told(asked, done("dial"))
    assert "dial" not in call.model.armed
    call.tell(ev.CallInitiated(direction="outgoing"))
    assert call.model.armed == {"dial", "engine"}
    call.tell(passed("dial"))
    assert (call.model.state, call.model.cause) == (HANGUP, "no_answer")

    call = Told(asked, done("dial"))
    assert call.tell(passed("queue")) == ["hangup", "release"]
    assert call.model.cause == "not_dialled", "nobody was rung who could have answered"

    call = Told(asked, CALL_ANSWERED)
    assert not call.model.armed & {"queue", "dial"}
    call = Told(ev.DialRequested())
    assert "dial" in call.model.armed, "a carrier without a queue dials at once"


def test_a_person_who_has_answered_untold_is_not_torn_from_the_caller() -> None:
    """The one webhook that says so may be lost. The carrier is asked before anybody takes the caller back."""
    for takes_back in (True, False):
        asked = ev.TransferRequested(mode="cold", number="+15550100010", takes_back=takes_back)
        call = Told(*TALKING, asked)
        assert call.tell(passed("transfer")) == ["find_person"]
        call.tell(done("find_person"))
        assert call.model.state == BRIDGED
        assert call.model.armed == {"bridged"}

        call = Told(*TALKING, asked, passed("transfer"))
        call.tell(failed("find_person"))
        assert call.model.state == RECOVERING
        assert do.TellTransfer(outcome="not_reached") in call.step.commands

        call = Told(*TALKING, asked, passed("transfer"))
        call.tell(passed("join"))
        assert call.model.state == RECOVERING, "the carrier does not say it in time"


def test_a_conversation_that_is_over_before_anybody_has_told_of_it_has_taken_place() -> None:
    for takes_back in (True, False):
        asked = ev.TransferRequested(mode="cold", number="+15550100010", takes_back=takes_back)
        call = Told(*TALKING, asked)
        call.tell(ev.CallResumed(talked=True))
        if takes_back:
            assert call.model.state == RECOVERING
            assert do.TellTransfer(outcome="left") in call.step.commands
        else:
            assert (call.model.state, call.model.cause) == (HANGUP, "transferred")


@pytest.mark.parametrize("given", [False, True])
def test_a_transfer_outlasts_a_move_and_no_other_takeover(given: bool) -> None:
    """The person's telephone was hung up when a node was replaced, and the caller told that nobody was reached."""
    recovered = ev.CallRecovered(handed_over=True, given=given)
    of_the_person = {"leg": ev.HUMAN}
    ended = do.TellTransfer(outcome="interrupted")
    for so_far in ((), (ev.CallAnswered(**of_the_person),)):  # rung, and told of the call
        call = Told(*TALKING, ev.TransferRequested(number="+15550100010"), *so_far)
        call.tell(recovered)
        assert (ended in call.step.commands) == (do.Hangup(leg=ev.HUMAN) in call.step.commands) == (not given)
        if given:
            call.tell(ev.CallAnswered(**of_the_person))
            call.tell(ev.Dtmf(digit="1", leg=ev.HUMAN))
            assert do.Join() in call.step.commands
    for mode in ("cold", "refer"):
        asked = ev.TransferRequested(mode=mode, number="+15550100010")
        call = Told(*TALKING, asked, *([ev.CommandDone(command="refer")] if mode == "refer" else []))
        assert call.model.state == TRANSFERRING
        call.tell(recovered)
        stays = given and mode == "cold"
        assert call.model.state == (TRANSFERRING if stays else RECOVERING)
        assert (ended in call.step.commands) == (not stays)
        assert "transfer" in call.model.armed or not stays


def test_a_person_who_left_while_the_server_was_away_has_left_and_was_reached() -> None:
    of_the_person = {"leg": ev.HUMAN}
    for takes_back in (True, False):
        asked = ev.TransferRequested(mode="cold", number="+15550100010", takes_back=takes_back)
        call = Told(*TALKING, asked, ev.CallAnswered(**of_the_person))
        assert call.model.state == BRIDGED
        call.tell(ev.CallRecovered(human="gone"))
        if takes_back:
            assert call.model.state == RECOVERING
            assert do.TellTransfer(outcome="left") in call.step.commands
        else:
            assert (call.model.state, call.model.cause) == (HANGUP, "transferred")
            assert do.Hangup() in call.step.commands
    call = Told(*TALKING, ev.TransferRequested(mode="cold", number="+15550100010"), ev.CallAnswered(**of_the_person))
    call.tell(ev.CallRecovered(found="gone", human="gone"))
    assert call.model.state == HANGUP
