"""Who may speak when: by table, and by every order of events that comes to mind."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callflow.engines.responses import Create, GiveUp, Responses, RetryIn


def opened(**knobs: Any) -> Responses:
    responses = Responses(**knobs)
    assert responses.open() == []
    return responses


def test_what_is_asked_before_the_session_is_there_goes_out_once_with_it() -> None:
    responses = Responses()
    assert responses.ask("Greet.") == []
    assert responses.ask("Greet.") == []
    assert responses.open() == [Create("Greet.")]


def test_never_two_at_a_time_and_once_however_often_it_was_asked() -> None:
    responses = opened()
    assert responses.ask() == [Create("")]
    assert responses.ask() == [], "the first request is not answered yet"
    responses.created("r1")
    assert responses.ask("One.") == []
    assert responses.ask("Two.") == []
    assert responses.done("r1", "completed") == [Create("One.\n\nTwo.")]
    responses.created("r2")
    assert responses.done("r2", "completed") == []


def test_a_response_that_the_server_began_is_waited_for() -> None:
    responses = opened()
    responses.created("vad")
    assert responses.ask("Say it.") == []
    assert responses.done("vad", "cancelled") == [Create("Say it.")]


def test_all_tools_of_a_response_are_answered_before_it_speaks() -> None:
    responses = opened()
    responses.created("r")
    assert responses.called("r", ["a", "b", "a"]) == ["a", "b"]
    assert responses.done("r", "completed") == []
    assert responses.answered("a", speak=True) == (True, [])
    assert responses.answered("a", speak=True) == (False, []), "one answer for each call"
    assert responses.answered("b", speak=True) == (True, [Create("")])


def test_tools_answered_before_the_response_has_ended_wait_for_its_end() -> None:
    responses = opened()
    responses.created("r")
    responses.called("r", ["a"])
    assert responses.answered("a", speak=True) == (True, [])
    assert responses.done("r", "completed") == [Create("")]


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
    responses.done("vad1", "cancelled")
    responses = opened()
    responses.called("r", ["a"])
    responses.created("running")
    assert responses.answered("a", speak=True) == (True, [])
    responses.created("vad")
    responses.done("running", "cancelled")
    assert responses.done("vad", "completed") == [], "the caller's turn was answered with the tool's result before it"


def test_a_wish_outlives_a_response_that_the_server_begins() -> None:
    responses = opened()
    responses.created("r")
    responses.ask("Say that time is up.")
    responses.created("vad")
    responses.done("r", "cancelled")
    assert responses.done("vad", "completed") == [Create("Say that time is up.")]


def test_a_refused_request_waits_for_the_end_of_the_response_in_its_way() -> None:
    responses = opened()
    assert responses.ask("Greet.") == [Create("Greet.")]
    responses.created("vad")
    assert responses.refused() == [], "what began meanwhile was not ours"
    assert responses.done("vad", "completed") == [Create("Greet.")]
    responses.created("greeting")
    assert responses.done("greeting", "completed") == []


def test_failures_are_tried_again_with_growing_pauses_and_then_given_up() -> None:
    responses = opened(retries=2, retry_seconds=0.5)
    responses.ask("Greet.")
    responses.created("r1")
    assert responses.will_retry("failed", "server_error")
    assert responses.done("r1", "failed", "server_error") == [RetryIn(0.5)]
    assert responses.retry() == [Create("Greet.")]
    responses.created("r2")
    assert responses.done("r2", "failed", "rate_limit_exceeded") == [RetryIn(1.0)]
    assert responses.retry() == [Create("Greet.")]
    responses.created("r3")
    assert not responses.will_retry("failed", "server_error")
    assert responses.done("r3", "failed", "server_error") == [GiveUp("server_error")]
    assert responses.ask() == [Create("")], "another turn, another try"


def test_a_failed_answer_to_the_callers_turn_is_asked_for_by_us() -> None:
    responses = opened()
    responses.created("vad")
    assert responses.done("vad", "failed", "server_error") == [RetryIn(0.4)]
    assert responses.retry() == [Create("")]


def test_a_caller_who_speaks_makes_a_retry_superfluous() -> None:
    responses = opened()
    responses.created("vad")
    responses.done("vad", "failed", "server_error")
    responses.caller_speaks(answers_itself=True)
    assert responses.retry() == []


def test_where_the_server_does_not_answer_by_itself_the_retry_stands() -> None:
    responses = opened()
    responses.created("r")
    responses.done("r", "failed", "server_error")
    responses.caller_speaks(answers_itself=False)
    assert responses.retry() == [Create("")]


def test_what_another_try_only_repeats_is_not_tried_again() -> None:
    responses = opened()
    responses.created("r")
    assert responses.done("r", "failed", "content_filter") == []
    assert responses.done("never begun", "incomplete", "max_output_tokens") == []


def test_a_response_that_ends_without_having_begun_was_the_one_asked_for() -> None:
    responses = opened()
    responses.ask("Greet.")
    assert responses.ask("Ask.") == []
    assert responses.done("r", "completed") == [Create("Ask.")]


def test_a_server_that_never_begins_does_not_block_what_follows() -> None:
    responses = opened()
    responses.ask("Greet.")
    assert responses.ask("Ask.") == []
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
             "answer", "speaks"]
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

    def served(actions: list[Any]) -> None:
        nonlocal requested, refused
        for action in actions:
            if isinstance(action, Create):
                assert not requested, "asked for while an earlier request is unanswered"
                assert not (set(responses.running) & set(active)), "asked for while a response runs that we know of"
                if active:
                    refused += 1
                else:
                    requested += 1

    for step, number in steps:
        match step:
            case "ask":
                served(responses.ask())
            case "wish":
                served(responses.ask(f"Wish {number}."))
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
                status = {"done": "completed"}.get(step, step)
                served(responses.done(active.pop(), status, "server_error" if step == "failed" else ""))
            case "refused" if refused:
                refused -= 1
                served(responses.refused())
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
                responses.caller_speaks(answers_itself=bool(number % 2))
    assert all(times == 1 for times in answers.values())
