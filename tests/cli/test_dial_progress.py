"""What `dial` tells of a call, from its journal: each thing once, in order, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.cli.dial_progress import Progress
from callflow.contracts.hangup_causes import KNOWN
from callflow.journal.journal import JournalEntry


def note(at: float, event: str, **fields: Any) -> JournalEntry:
    return JournalEntry("c", 1, at, {"event": event, **fields})


def step(at: float, event: str, before: str = "ringing", after: str = "ringing", **fields: Any) -> JournalEntry:
    return JournalEntry("c", 1, at, {"event": event, **fields}, before, after, taken=True)


DIALLED = [
    note(100.0, "began", version=2, carrier="twilio", direction="outbound"),
    step(100.0, "dial_requested", from_number="+15550100002", to_number="+15550100001"),
    step(100.1, "command_done", command="dial"),
    step(100.2, "carrier_notice", kind="status initiated"),
    step(100.3, "carrier_notice", kind="status ringing"),
]
TALK = [
    *DIALLED,
    step(105.0, "call_answered", "ringing", "answered"),
    step(105.1, "media_started", "answered", "streaming"),
    note(105.2, "turn", who="agent", item="a", text="Hello.", whole=True),
    note(105.3, "heard", item="a", ms=200, of_ms=400),
    note(107.0, "turn", who="caller", item="b", text="Who is it?", whole=True),
    step(107.5, "tool_called", "streaming", "streaming", id="t", tool="current_time", arguments="{}"),
    step(107.7, "tool_finished", "streaming", "streaming", id="t", tool="current_time", ok=False, ms=200),
    note(108.0, "digits", digits="4711"),
    step(170.0, "call_hangup", "streaming", "hangup", cause="normal_clearing", source="callee"),
    note(171.0, "ended", version=2, cause="normal_clearing"),
]


def test_a_call_is_told_from_the_dial_to_its_end() -> None:
    progress = Progress()
    assert [(round(at, 1), line) for at, line in progress.feed(TALK)] == [
        (0.0, "dials +15550100001 from +15550100002, with Twilio"),
        (0.1, "dialled: the carrier has taken it"),
        (0.3, "ringing"),
        (5.0, "answered"),
        (5.2, "agent: Hello."),
        (7.0, "caller: Who is it?"),
        (7.5, "agent: calls current_time({})"),
        (7.7, "tool: current_time has failed after 200 ms"),
        (8.0, "caller: presses 4711"),
        (70.0, "the call is over"),
    ]
    assert (progress.is_answered, progress.has_ended) == (True, True)
    assert progress.outcome() == (
        "It was answered, and took 1:05: it was hung up in the ordinary way, by the person who was called."
    )


def test_what_was_told_is_not_told_again_in_whatever_order_it_comes_back() -> None:
    progress = Progress()
    told = [line for end in range(len(TALK) + 1) for _, line in progress.feed(TALK[:end])]
    again = Progress()
    assert told == [line for _, line in again.feed(TALK)]
    assert progress.feed(sorted(TALK, key=lambda each: each.name)) == []


def test_telnyx_says_that_the_leg_begins_and_opens_the_stream_before_it_says_answered() -> None:
    progress = Progress()
    lines = progress.feed(
        [
            *DIALLED[:3],
            step(100.3, "call_initiated", direction="outgoing"),
            step(104.0, "media_started", "ringing", "streaming"),
            step(104.1, "call_answered", "streaming", "streaming"),
        ]
    )
    assert [line for _, line in lines][2:] == ["ringing", "answered"]
    assert progress.outcome() == "It was answered, and its end is not in the history."


def test_what_is_lost_and_comes_back_is_told_in_words() -> None:
    progress = Progress()
    progress.feed(TALK[:8])
    lines = progress.feed(
        [
            step(110.0, "engine_lost", "streaming", "recovering"),
            step(111.0, "engine_ready", "recovering", "streaming"),
            step(112.0, "deadline_passed", "streaming", "recovering", deadline="grace"),
            step(113.0, "call_hangup", "recovering", "hangup", cause="completed", source="carrier"),
        ]
    )
    assert [line for _, line in lines] == [
        "the voice model is lost, and another session is opened",
        "the call goes on",
        "deadline_passed: deadline grace   streaming -> recovering",
        "the call is over",
    ]


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("user_busy", "the line was busy"),
        ("busy", "the line was busy"),
        ("no_answer", "nobody answered"),
        ("timeout", "nobody answered in time"),
        ("call_rejected", "it was rejected"),
        ("originator_cancel", "we gave up before it was answered"),
        ("dial_failed", "the carrier did not dial it"),
        ("", "why is not in the history"),
    ],
)
def test_a_call_that_nobody_answers_says_why(cause: str, told: str) -> None:
    progress = Progress()
    progress.feed(DIALLED)
    assert not progress.is_over
    lines = progress.feed(
        [step(112.0, "call_hangup", "ringing", "hangup", cause=cause), note(112.1, "ended", cause=cause)]
    )
    assert [line for _, line in lines] == ["the call is over"]
    assert progress.has_ended
    assert not progress.is_answered
    assert progress.outcome() == f"It was not answered, after 12 s: {told}."


@pytest.mark.parametrize("cause", sorted(KNOWN))
def test_every_cause_makes_a_sentence(cause: str) -> None:
    progress = Progress()
    progress.feed([*DIALLED, note(101.0, "ended", cause=cause)])
    assert progress.outcome().startswith("It was not answered, after 1 s: ")


def test_who_has_answered_is_told_once() -> None:
    machine = {"who": "machine", "then": "message"}
    call = [
        *DIALLED,
        step(105.0, "call_answered", "ringing", "streaming"),
        step(108.0, "answered_by", "streaming", "streaming", ready=False, **machine),
        step(115.0, "answered_by", "streaming", "streaming", ready=True, **machine),
        step(121.0, "message_left", "streaming", "hangup"),
        note(121.1, "ended", version=2, cause="machine"),
    ]
    progress = Progress()
    assert [line for _, line in progress.feed(call)][4:] == [
        "the carrier hears an answering machine",
        "the machine records now",
        "the message was played to its end",
        "the call is over",
    ]
    assert progress.outcome() == "It was answered, and took 16 s: an answering machine had answered."
