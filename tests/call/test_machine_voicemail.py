"""What the carrier's word about who has answered means, in odd orders, each by name."""

from __future__ import annotations

import pytest

from callflow.call import machine
from callflow.call.machine import ANSWERED, HANGUP, RECOVERING, RINGING, STREAMING
from callflow.contracts import events as ev
from tests.call.test_machine_orders import CALL_ANSWERED, ENGINE_LOST, LOST, READY, STARTED, Told, failed, passed


DIALLED = ev.DialRequested(machines="message")
ON_ANSWER = ev.DialRequested(machines="message", streams="on_answer")
MACHINE = ev.AnsweredBy(who="machine", then="message")
BEEP = ev.AnsweredBy(who="machine", then="message", ready=True)
NO_MESSAGE = ev.AnsweredBy(who="machine", then="hang_up")
FAX = ev.AnsweredBy(who="fax", then="message")
TALKING = (DIALLED, READY, CALL_ANSWERED, STARTED)


def farewell(call: Told) -> tuple[str, str]:
    return call.model.state, call.model.farewell


def test_the_main_road() -> None:
    call = Told(*TALKING)
    assert call.tell(MACHINE) == ["connect_engine"]
    assert call.model.armed == {"engine", "beep"}
    assert call.tell(READY) == []
    assert call.tell(BEEP) == ["leave_message"]
    assert call.model.armed == {"message"}
    assert call.tell(ev.MessageLeft()) == ["hangup", "release"]
    assert call.model.cause == "machine"


@pytest.mark.parametrize("dialled", [DIALLED, ON_ANSWER])
def test_a_machine_that_is_known_before_the_answer_gets_its_message_when_there_is_a_stream(
    dialled: ev.DialRequested,
) -> None:
    call = Told(dialled, READY)
    assert call.tell(BEEP) == ["connect_engine"]
    assert farewell(call) == (RINGING, machine.MESSAGE_DUE)
    call.tell(READY)
    asked = ["stream"] if dialled is ON_ANSWER else []
    assert call.tell(CALL_ANSWERED) == asked
    assert farewell(call) == (ANSWERED, machine.MESSAGE_DUE)
    assert call.tell(STARTED) == ["leave_message"]


def test_a_stream_that_comes_before_the_answer_is_enough() -> None:
    call = Told(DIALLED, READY, MACHINE, READY, BEEP)
    assert call.tell(STARTED) == ["leave_message"]
    assert call.tell(CALL_ANSWERED) == []


def test_a_beep_that_is_faster_than_the_session_is_waited_with() -> None:
    call = Told(*TALKING)
    assert call.tell(BEEP) == ["connect_engine"]
    assert call.tell(READY) == ["leave_message"]


def test_a_beep_that_is_never_told_of_is_not_waited_for_for_ever() -> None:
    call = Told(*TALKING, MACHINE, READY)
    assert call.tell(passed("beep")) == ["leave_message"]
    assert call.tell(BEEP) == []
    assert call.tell(passed("message")) == ["hangup", "release"]


@pytest.mark.parametrize("late", [MACHINE, NO_MESSAGE, FAX, ev.AnsweredBy(who="human", then="message")])
def test_the_first_word_about_a_machine_counts(late: ev.AnsweredBy) -> None:
    call = Told(*TALKING, MACHINE, READY)
    assert call.tell(late) == []
    call.tell(BEEP)
    assert call.tell(late) == []
    assert farewell(call) == (STREAMING, machine.MESSAGE)


@pytest.mark.parametrize(("word", "cause"), [(NO_MESSAGE, "machine"), (FAX, "fax")])
def test_a_machine_that_is_led_to_a_sip_address_is_hung_up_on_too(word: ev.AnsweredBy, cause: str) -> None:
    """The agent talked with it there, and its number counted as answered."""
    call = Told(ev.DialRequested(machines="hang_up", streams="sip"), CALL_ANSWERED)
    assert call.model.state == machine.BRIDGED
    assert call.tell(ev.AnsweredBy(who="human", then="hang_up")) == []
    assert call.tell(word) == ["hangup", "release"]
    assert call.model.cause == cause


@pytest.mark.parametrize(("word", "cause"), [(NO_MESSAGE, "machine"), (FAX, "fax")])
def test_hanging_up_is_the_answer_from_wherever_it_is(word: ev.AnsweredBy, cause: str) -> None:
    for before in (TALKING, TALKING[:3], TALKING[:2], (*TALKING, LOST), (*TALKING, ev.EndRequested())):
        call = Told(*before)
        assert call.tell(word) == ["hangup", "release"], before
        assert call.model.cause == cause


def test_the_agents_goodbye_to_a_machine_gives_way_to_the_message() -> None:
    call = Told(*TALKING, ev.EndRequested())
    assert call.model.cause == "agent"
    assert call.tell(MACHINE) == ["connect_engine"]
    assert call.tell(ev.GoodbyeHeard()) == []
    assert call.tell(passed("last_words")) == []
    assert call.model.cause == "machine"


def test_a_sentence_that_ends_the_call_already_is_not_cut_off_for_a_machine() -> None:
    call = Told(*TALKING, ev.GoodbyeRequested(reason="operator"))
    assert call.tell(BEEP) == []
    assert call.model.cause == "operator"


def test_a_goodbye_that_somebody_asks_for_is_the_message() -> None:
    call = Told(*TALKING, MACHINE, READY)
    assert call.tell(ev.GoodbyeRequested(reason="operator")) == []
    assert call.tell(BEEP) == ["leave_message"]
    assert call.tell(ev.HangupRequested(reason="operator")) == ["hangup", "release"]


@pytest.mark.parametrize("broken", [ENGINE_LOST, LOST, ev.EngineLost(), ev.MediaRefused(), ev.CallResumed()])
def test_nothing_is_explained_to_a_machine(broken: ev.Event) -> None:
    for heard in ((MACHINE,), (MACHINE, READY), (MACHINE, READY, BEEP)):
        call = Told(*TALKING, *heard)
        assert call.tell(broken) == ["hangup", "release"], heard
        assert call.model.cause == "machine"
    call = Told(DIALLED, READY, MACHINE)
    assert call.tell(ENGINE_LOST) == ["hangup", "release"], "also before it is answered"
    call = Told(DIALLED, READY, CALL_ANSWERED, MACHINE)
    assert call.tell(failed("answer")) == []
    assert call.tell(passed("stream")) == ["hangup", "release"]


def test_a_machine_is_not_waited_for_while_a_stream_is_missing() -> None:
    call = Told(*TALKING, LOST)
    assert call.tell(BEEP) == ["hangup", "release"]


def test_a_process_that_takes_over_before_the_beep_leaves_the_message() -> None:
    call = Told(*TALKING, MACHINE, READY)
    assert call.tell(ev.CallRecovered(found="answered")) == ["connect_engine", "stream"]
    assert farewell(call) == (RECOVERING, machine.AWAITS_BEEP)
    assert call.tell(BEEP) == []
    assert call.tell(READY) == []
    assert call.tell(STARTED) == ["leave_message"]


def test_where_the_carrier_asks_it_gets_a_stream_for_the_message() -> None:
    call = Told(*TALKING, MACHINE, READY)
    assert call.tell(ev.CallRecovered(found="asking")) == ["connect_engine"]
    assert call.tell(ev.CallResumed()) == ["stream"]
    assert call.tell(ev.CallResumed()) == []
    call.tell(STARTED)
    call.tell(READY)
    assert call.tell(BEEP) == ["leave_message"]


@pytest.mark.parametrize("found", ["answered", "asking"])
def test_a_process_that_takes_over_in_the_message_hangs_up(found: str) -> None:
    call = Told(*TALKING, MACHINE, READY, BEEP)
    assert call.tell(ev.CallRecovered(found="answered" if found == "answered" else "asking")) == ["hangup", "release"]
    assert (call.model.state, call.model.cause) == (HANGUP, "machine")
