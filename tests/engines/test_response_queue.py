"""Who may speak when: by table, and by every order of events that comes to mind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.engines.openai_realtime.response_endings import ResponseEnding
from callflow.engines.openai_realtime.response_queue import GO_ON, SAY_IT, Create, GiveUp, ResponseQueue, RetryIn
from tests.configs import make_response_queue


ANSWERED = ResponseEnding()
SILENT = ResponseEnding(sounds=False)
CANCELLED = ResponseEnding("cancelled", sounds=False)


def failed(code: str) -> ResponseEnding:
    return ResponseEnding("failed", code, sounds=False)


def opened(**knobs: Any) -> ResponseQueue:
    responses = make_response_queue(**knobs)
    assert responses.open() == []
    return responses


def test_what_is_asked_before_the_session_is_there_goes_out_once_with_it() -> None:
    responses = make_response_queue()
    assert responses.request_response("Greet.") == []
    assert responses.request_response("Greet.") == []
    assert responses.open() == [Create("Greet.")]


def test_never_two_at_a_time_and_once_however_often_it_was_asked() -> None:
    responses = opened()
    assert responses.request_response() == [Create("")]
    assert responses.request_response() == [], "the first request is not answered yet"
    responses.created("r1")
    assert responses.request_response("One.") == []
    assert responses.request_response("Two.") == []
    assert responses.done("r1", ANSWERED) == [Create("One.\n\nTwo.")]
    responses.created("r2")
    assert responses.done("r2", ANSWERED) == []


def test_a_response_that_the_server_began_is_waited_for() -> None:
    responses = opened()
    responses.created("vad")
    assert responses.request_response("Say it.") == []
    responses.cancelled("vad")
    assert responses.done("vad", CANCELLED) == [Create("Say it.")]


def test_all_tools_of_a_response_are_answered_before_it_speaks() -> None:
    responses = opened()
    responses.created("r")
    assert responses.called("r", ["a", "b", "a"]) == ["a", "b"]
    assert responses.done("r", ANSWERED) == []
    assert responses.answered("a", speak=True) == (True, [])
    assert responses.answered("a", speak=True) == (False, []), "one answer for each call"
    assert responses.answered("b", speak=True) == (True, [Create("")])


def test_tools_answered_before_the_response_has_ended_wait_for_its_end() -> None:
    responses = opened()
    responses.created("r")
    responses.called("r", ["a"])
    assert responses.answered("a", speak=True) == (True, [])
    assert responses.done("r", ANSWERED) == [Create("")]


def test_a_tool_about_which_nothing_is_to_be_said_asks_for_nothing() -> None:
    responses = opened()
    responses.called("r", ["a"])
    assert responses.answered("a", speak=False) == (True, [])


def test_one_that_wants_to_speak_is_enough() -> None:
    responses = opened()
    responses.called("r", ["a", "b"])
    responses.answered("a", speak=True)
    assert responses.answered("b", speak=False) == (True, [Create("")])


def test_a_response_that_the_server_begins_after_the_answers_makes_ours_superfluous() -> None:
    responses = opened()
    responses.created("vad1")
    responses.called("vad0", ["a"])
    responses.answered("a", speak=True)
    responses.cancelled("vad1")
    responses.done("vad1", CANCELLED)
    responses = opened()
    responses.called("r", ["a"])
    responses.created("running")
    assert responses.answered("a", speak=True) == (True, [])
    responses.created("vad")
    responses.cancelled("running")
    responses.done("running", CANCELLED)
    assert responses.done("vad", ANSWERED) == [], "the caller's turn was answered with the tool's result before it"


def test_the_server_is_not_told_to_cancel_what_it_has_ended_or_is_cancelling() -> None:
    """It refuses that; over SIP, what was generated long ago is played still."""
    responses = opened()
    for name in ("running", "over"):
        responses.created(name)
    responses.done("over", ANSWERED)
    responses.ended("over")
    assert responses.cancelled("over") is False
    responses.caller_speaks(interrupts=True, answers=True)
    assert [responses.cancelled("running"), responses.cancelled("running")] == [True, False]


def test_what_lasts_outlives_a_response_that_the_server_begins_and_what_does_not_is_dropped() -> None:
    responses = opened()
    responses.created("r")
    responses.request_response("Say that time is up.", lasting=True)
    responses.request_response("Ask whether they are there.")
    responses.cancelled("r")
    responses.created("vad")
    responses.done("r", CANCELLED)
    assert responses.done("vad", ANSWERED) == [Create("Say that time is up.")]


def test_a_refused_request_waits_for_the_end_of_the_response_in_its_way() -> None:
    responses = opened()
    assert responses.request_response("Greet.") == [Create("Greet.")]
    responses.created("vad")
    assert responses.response_active() == [], "what began meanwhile was not ours"
    assert responses.done("vad", ANSWERED) == [Create("Greet.")]
    responses.created("greeting")
    assert responses.done("greeting", ANSWERED) == []


def test_a_server_that_says_for_ever_that_it_is_speaking_is_given_up() -> None:
    responses = opened()
    actions = responses.request_response("Greet.")
    pauses: list[float] = []
    while not any(isinstance(action, GiveUp) for action in actions):
        assert actions == [Create("Greet.")]
        (wait,) = responses.response_active()
        if isinstance(wait, GiveUp):
            break
        assert isinstance(wait, RetryIn)
        pauses.append(wait.seconds)
        actions = responses.retry()
    assert len(pauses) == 12
    assert pauses[:5] == [0.2, 0.4, 0.8, 1.6, 2.0]
    assert set(pauses[4:]) == {2.0}


def test_calls_and_answers_of_long_ago_are_remembered_and_not_endlessly_many() -> None:
    responses = opened()
    for number in range(1000):
        assert responses.called("r", [f"c{number}"]) == [f"c{number}"]
        responses.answered(f"c{number}", speak=False)
    assert responses.called("r", ["c900"]) == []
    assert responses.answered("c900", speak=True) == (False, [])
    assert len(responses._calls) == len(responses._answered) == 256


def test_failures_are_tried_again_with_growing_pauses_and_then_given_up() -> None:
    responses = opened(retries=2, retry_seconds=0.5)
    responses.request_response("Greet.")
    responses.created("r1")
    assert not responses.is_final("r1", failed("server_error"))
    assert responses.done("r1", failed("server_error")) == [RetryIn(0.5)]
    assert responses.retry() == [Create("Greet.")]
    responses.created("r2")
    assert responses.done("r2", failed("rate_limit_exceeded")) == [RetryIn(1.0)]
    assert responses.retry() == [Create("Greet.")]
    responses.created("r3")
    assert responses.is_final("r3", failed("server_error"))
    assert responses.done("r3", failed("server_error")) == [GiveUp("server_error")]
    assert responses.request_response() == [Create("")], "another turn, another try"


def test_a_failed_answer_to_the_callers_turn_is_asked_for_by_us() -> None:
    responses = opened()
    responses.created("vad")
    assert responses.done("vad", failed("server_error")) == [RetryIn(0.4)]
    assert responses.retry() == [Create("")]


def test_a_caller_who_speaks_makes_a_retry_superfluous() -> None:
    responses = opened()
    responses.created("vad")
    responses.done("vad", failed("server_error"))
    responses.caller_speaks(interrupts=True, answers=True)
    assert responses.retry() == []


def test_where_the_server_does_not_answer_by_itself_the_retry_stands() -> None:
    responses = opened()
    responses.created("r")
    responses.done("r", failed("server_error"))
    responses.caller_speaks(interrupts=False, answers=False)
    assert responses.retry() == [], "not while they speak"
    responses.caller_stopped(answers=False)
    assert responses.turn_over() == [Create("")]


def test_what_another_try_only_repeats_is_not_tried_again() -> None:
    responses = opened()
    responses.created("r")
    assert responses.done("r", failed("content_filter")) == [GiveUp("content_filter")]
    blocked = ResponseEnding("incomplete", "content_filter", sounds=False)
    assert responses.done("never begun", blocked) == [GiveUp("content_filter")]


# A response that could not be heard is no answer


@pytest.mark.parametrize(
    "ending",
    [
        SILENT,
        ResponseEnding(sounds=False, texts=True),
        ResponseEnding("incomplete", "max_output_tokens", sounds=False),
        ResponseEnding("cancelled", "turn_detected", sounds=False),
        ResponseEnding("cancelled", sounds=True),
        ResponseEnding("in_progress", sounds=False),
        ResponseEnding("whatever", sounds=False),
        ResponseEnding("incomplete", "max_output_tokens"),
        ResponseEnding("failed", "server_error"),
    ],
)
@pytest.mark.parametrize("whose", ["the server's", "ours"])
def test_it_is_asked_for_again_as_often_as_it_may_and_then_given_up(ending: ResponseEnding, whose: str) -> None:
    responses = opened(retries=2, retry_seconds=0.5)
    if whose == "ours":
        assert responses.request_response("Greet.") == [Create("Greet.")]
    responses.created("r0")
    for number, pause in enumerate((0.5, 1.0)):
        assert not responses.is_final(f"r{number}", ending)
        assert responses.done(f"r{number}", ending) == [RetryIn(pause)]
        (again,) = responses.retry()
        assert isinstance(again, Create)
        if ending.sounds:
            assert again.instructions == GO_ON
        elif whose == "ours":
            assert again.instructions == "Greet."
        else:
            assert again.instructions == (SAY_IT if ending.texts else "")
        responses.created(f"r{number + 1}")
    assert responses.is_final("r2", ending)
    assert responses.done("r2", ending) == [GiveUp(ending.code or ending.status)]


def test_a_sentence_that_must_be_heard_whole_is_said_anew_where_it_breaks_off() -> None:
    responses = opened()
    responses.request_response("Begin with this.", lasting=True, whole=True)
    responses.created("r")
    responses.done("r", ResponseEnding("incomplete", "max_output_tokens"))
    assert responses.retry() == [Create("Begin with this.")]
    responses.created("r2")
    responses.called("r2", ["tool"])
    assert responses.done("r2", SILENT._replace(calls=True)) == [Create("Begin with this.")], "tools do not replace it"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("wish", ["lasts", "does not last", "answer", "tools"])
def test_what_is_withdrawn_before_it_is_heard_is_told_once_and_never_asked_for_again(wish: str, begun: bool) -> None:
    """It was begun, cancelled and asked for again, as long as nobody heard the agent."""
    responses = opened()
    if wish == "tools":
        responses.called("r", ["a"])
        responses.answered("a", speak=True)
    else:
        responses.request_response("" if wish == "answer" else "Time is up.", lasting=wish == "lasts")
    if begun:
        responses.created("r1")
    expected = {"lasts": {"Time is up.": True}, "does not last": {"Time is up.": False}}.get(wish, {"": False})
    assert responses.withdraw([]) == expected
    assert responses.withdraw([]) == {}
    if not begun:
        responses.created("r1")
    responses.cancelled("r1")
    assert responses.done("r1", CANCELLED) == []


def test_what_is_withdrawn_is_not_asked_for_again_when_it_is_refused() -> None:
    responses = opened()
    responses.request_response("Time is up.", lasting=True)
    responses.withdraw([])
    assert responses.request_failed("server_error") == []
    responses.request_response("One.", lasting=True)
    responses.request_failed("server_error")
    assert responses.withdraw([]) == {"One.": True}
    assert responses.retry() == []


def test_what_is_wanted_again_before_its_response_begins_is_said_by_that_response() -> None:
    responses = opened()
    responses.request_response("Time is up.", lasting=True)
    responses.withdraw([])
    assert responses.request_response("Time is up.", lasting=True) == []
    responses.created("r1")
    assert responses.done("r1", ANSWERED) == [], "it was said twice"


def test_what_was_heard_in_part_is_not_withdrawn() -> None:
    responses = opened()
    responses.request_response("Time is up.", lasting=True)
    responses.created("r1")
    responses.request_response("Ask.", lasting=True)
    assert responses.withdraw(["r1"]) == {"Ask.": True}


def test_the_last_of_several_tools_answered_in_silence_asks_for_nothing() -> None:
    responses = opened()
    responses.called("r", ["a", "b"])
    responses.answered("a", speak=True)
    assert responses.withdraw([]) == {"": False}
    assert responses.answered("b", speak=False) == (True, [])


def test_what_the_caller_or_we_have_broken_off_is_not_missed() -> None:
    responses = opened()
    responses.created("r")
    responses.caller_speaks(interrupts=True, answers=True)
    assert responses.done("r", CANCELLED) == []
    responses.caller_stopped(answers=True)
    assert responses.turn_over() == []
    responses.created("next")
    responses.cancelled("next")
    assert responses.done("next", CANCELLED) == []
    assert responses.retry() == []


def test_a_response_with_calls_is_answered_by_its_tools() -> None:
    responses = opened()
    responses.created("r")
    responses.called("r", ["a"])
    assert responses.done("r", SILENT._replace(calls=True)) == []
    assert responses.answered("a", speak=True) == (True, [Create("")])
    responses.created("r2")
    assert responses.done("r2", SILENT) == [RetryIn(0.4)], "the answer to a tool has to be heard, too"


def test_a_server_that_runs_tools_of_its_own_goes_on_by_itself_or_is_asked_once() -> None:
    responses = opened(retries=0)
    for number in range(3):
        responses.created(f"r{number}")
        running = SILENT._replace(remote="runs")
        assert not responses.is_final(f"r{number}", running)
        assert responses.done(f"r{number}", running) == [RetryIn(10.0)]
        assert responses.remote_tool_done() == [RetryIn(0.6)]
    responses.created("by itself")
    assert responses.retry() == [], "it has gone on"
    assert responses.done("by itself", SILENT._replace(remote="done")) == [RetryIn(0.6)]
    assert responses.retry() == [Create("")]
    responses.created("asked for")
    assert responses.done("asked for", ANSWERED) == []
    assert responses.remote_tool_done() == []


def test_a_server_that_runs_its_tools_for_ever_is_given_up() -> None:
    responses = opened(retries=0)
    for number in range(20):
        responses.created(f"r{number}")
        actions = responses.done(f"r{number}", SILENT._replace(remote="done"))
        if any(isinstance(action, GiveUp) for action in actions):
            return
        responses.retry()
    raise AssertionError("it is asked without end")


# Nobody speaks over a caller


@pytest.mark.parametrize("answers", [True, False])
def test_nothing_is_begun_while_the_caller_speaks(answers: bool) -> None:
    responses = opened()
    responses.caller_speaks(interrupts=True, answers=answers)
    assert responses.request_response("The time is nearly up.", lasting=True) == []
    assert responses.request_response("Are you there?") == []
    assert responses.request_response() == []
    responses.called("r", ["a"])
    assert responses.answered("a", speak=True) == (True, [])
    responses.caller_stopped(answers=answers)
    if answers:
        assert responses.turn_over() == [], "the server is about to answer by itself"
        responses.created("vad")
        assert responses.done("vad", ANSWERED) == [Create("The time is nearly up.")], "all else was answered by that"
    else:
        assert responses.request_response() == [Create("The time is nearly up.")], "in one with the answer"
        assert responses.turn_over() == []


def test_a_server_that_does_not_answer_the_caller_by_itself_is_asked_to() -> None:
    responses = opened()
    responses.caller_speaks(interrupts=True, answers=True)
    responses.caller_stopped(answers=True)
    assert responses.turn_over() == []
    assert responses.is_awaited
    assert responses.unanswered() == [Create("")]


def test_a_server_that_says_it_is_speaking_and_is_not_is_not_stormed() -> None:
    responses = opened()
    asked, waited = 0, 0.0
    actions: list[Any] = list(responses.request_response())
    while actions and not isinstance(actions[0], GiveUp):
        if isinstance(actions[0], Create):
            asked += 1
            actions = list(responses.response_active())
        else:
            assert isinstance(actions[0], RetryIn)
            assert 0.2 <= actions[0].seconds <= 2.0
            waited += actions[0].seconds
            actions = list(responses.retry())
    assert asked <= 5 * waited
    assert actions, "it ends"


def test_a_request_that_is_refused_for_itself_is_a_failed_one() -> None:
    responses = opened(retries=1)
    responses.request_response("Greet.")
    assert responses.request_failed("invalid_value") == [RetryIn(0.4)]
    assert responses.retry() == [Create("Greet.")]
    assert responses.request_failed("invalid_value") == [GiveUp("invalid_value")]
    assert responses.request_failed("invalid_value") == [], "what was not asked for cannot be refused"


def test_a_response_that_ends_without_having_begun_was_the_one_asked_for() -> None:
    responses = opened()
    responses.request_response("Greet.")
    assert responses.request_response("Ask.") == []
    assert responses.done("r", ANSWERED) == [Create("Ask.")]


def test_a_server_that_never_begins_does_not_block_what_follows() -> None:
    responses = opened()
    responses.request_response("Greet.")
    assert responses.request_response("Ask.") == []
    assert responses.unanswered() == [Create("Ask.")]


def test_a_call_of_an_earlier_session_is_answered_here() -> None:
    responses = opened()
    responses.adopt("old")
    assert responses.answered("old", speak=True) == (True, [Create("")])
    assert responses.answered("old", speak=True) == (False, [])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "wish", "created", "created ours", "done", "failed", "cancelled", "refused", "retry", "call",
             "answer", "speaks", "stops", "awaited", "given up", "goes on"]
        ),
        st.integers(0, 3),
    ),
    max_size=60,
)  # fmt: skip


@given(STEPS)
def test_in_any_order_one_runs_at_a_time_and_no_call_is_answered_twice(steps: list[tuple[str, int]]) -> None:
    """Played against a server that does as the interface says: it refuses what comes while a response runs."""
    responses = opened()
    active: list[str] = []
    requested = refused = count = 0
    answers: dict[str, int] = {}
    calls: list[str] = []
    speaking = False

    def served(actions: list[Any]) -> None:
        nonlocal requested, refused
        for action in actions:
            if isinstance(action, Create):
                assert not speaking, "asked for while the caller speaks"
                assert not requested, "asked for while an earlier request is unanswered"
                assert not (set(responses.running) & set(active)), "asked for while a response runs that we know of"
                if active:
                    refused += 1
                else:
                    requested += 1

    for step, number in steps:
        match step:
            case "ask":
                served(responses.request_response())
            case "wish":
                served(responses.request_response(f"Wish {number}."))
            case "created" if not active:
                count += 1
                active.append(f"r{count}")
                refused, requested = refused + requested, 0  # it comes too late for this one's beginning
                responses.created(f"r{count}")
            case "created ours" if requested:
                requested = 0
                count += 1
                active.append(f"r{count}")
                responses.created(f"r{count}")
            case "done" | "failed" | "cancelled" if active and not refused:  # it refuses while the response runs
                ending = {"done": ANSWERED, "failed": failed("server_error"), "cancelled": CANCELLED}[step]
                name = active.pop()
                if not responses.is_over(name) or responses.goes_on(name):
                    responses.ended(name)
                    served(responses.done(name, ending))
            case "given up" if active and active[-1] in responses.running:
                served(responses.give_up(active[-1], ANSWERED))
            case "goes on" if active:
                responses.goes_on(active[-1])
            case "refused" if refused:
                refused -= 1
                served(responses.response_active())
            case "retry":
                served(responses.retry())
            case "call" if active:
                name = f"call{len(calls)}"
                assert responses.called(active[-1], [name]) == [name]
                calls.append(name)
            case "answer" if calls:
                name = calls[number % len(calls)]
                is_new, actions = responses.answered(name, speak=bool(number % 2))
                answers[name] = answers.get(name, 0) + is_new
                served(actions)
            case "speaks":
                speaking = True
                responses.caller_speaks(interrupts=number > 1, answers=bool(number % 2))
            case "stops":
                speaking = False
                responses.caller_stopped(answers=bool(number % 2))
                served(responses.turn_over())
            case "awaited":
                served(responses.unanswered() if responses.is_awaited else [])
    assert all(times == 1 for times in answers.values())
