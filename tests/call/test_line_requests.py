"""What operators and tools may do with a call's line, and when they are told why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from callflow.call import machine
from callflow.call.line_requests import (
    MUTED,
    NO_CALLER,
    NO_KEYS,
    NO_VOICE,
    NOT_ON_HOLD,
    ON_HOLD,
    OPENING,
    TRANSFERRED,
    LineRequests,
    Words,
    are_digits,
)
from callflow.config.settings import Settings
from callflow.contracts.events import (
    DtmfRequested,
    Event,
    GoodbyeRequested,
    HangupRequested,
    HoldRequested,
    MuteRequested,
    SayRequested,
    ToolCalled,
    TransferRequested,
)
from callflow.engines.common.account import Account
from callflow.media.audio_gates import AudioGates
from callflow.switchboard.call_configs import call_config


CONFIG = call_config(Settings(), Account())


class Scene:
    """A call that talks, unless a test says otherwise."""

    def __init__(self, *can: Any, **settings: Any) -> None:
        self.model = machine.Model()
        self.model.state, self.model.engine, self.model.media = machine.STREAMING, "ready", "open"
        self.opening, self.gates, self.posted = False, AudioGates(), list[Event]()
        self.line = LineRequests(
            replace(CONFIG, **settings), lambda: self.model, can=frozenset(can), gates=self.gates,
            opening=lambda: self.opening, post=self.posted.append,
            awaits=lambda kind: any(isinstance(one, kind) for one in self.posted),
        )  # fmt: skip


def test_a_request_says_who_asked() -> None:
    the = Scene()
    assert the.line.hold("console") == the.line.mute("agent", True, "operator") == ""
    assert the.posted == [HoldRequested(by="console"), MuteRequested(party="agent", on=True, by="operator")]


def test_hold_needs_a_caller_who_talks_with_the_agent() -> None:
    the = Scene()
    the.model.engine = "connecting"
    assert the.line.hold("x") == NO_CALLER
    the.model.engine, the.opening = "ready", True
    assert the.line.hold("x") == OPENING
    the.opening, the.model.transfer = False, "warm"
    assert "transfer" in the.line.hold("x")
    the.model.transfer = ""
    assert the.line.resume("x") == NOT_ON_HOLD
    the.model.armed = frozenset({"hold"})
    assert the.line.hold("x") == ""
    assert the.posted == []
    assert the.line.say("text", "x") == the.line.press("1", "x") == ON_HOLD
    assert the.line.resume("x") == ""


def test_a_sentence_that_must_be_heard_is_not_muted_and_mute_can_end_at_any_time() -> None:
    the = Scene()
    the.opening = True
    assert the.line.mute("agent", True, "x") == OPENING
    assert the.line.mute("agent", False, "x") == ""
    the.opening, the.model.state = False, machine.BRIDGED
    assert the.line.mute("agent", True, "x") == NO_CALLER
    assert the.line.mute("agent", False, "x") == ""


@pytest.mark.parametrize(
    ("queued", "why"),
    [
        (TransferRequested(mode="warm", target="x", number="+15550100077"), TRANSFERRED),
        (HoldRequested(by="x"), ON_HOLD),
        (GoodbyeRequested(reason="operator"), NO_CALLER),
        (HangupRequested(reason="operator"), NO_CALLER),
    ],
)
def test_nobody_takes_a_caller_over_whom_a_request_before_theirs_takes_away(queued: Event, why: str) -> None:
    """The step that follows would refuse the take-over without a word: they would speak, and not be heard."""
    the = Scene()
    the.posted.append(queued)
    assert the.line.mute("agent", True, "x", for_person=True) == why
    assert the.line.mute("agent", True, "x") == "", "a mute alone lets nobody speak"
    assert the.line.mute("agent", False, "x", for_person=True) == "", "whoever has the caller gives them back"


@pytest.mark.parametrize(("can", "otherwise"), [((), ""), (("speaks_beside_stream",), "carrier")])
def test_words_are_said_by_the_carrier_while_the_agent_is_away_if_it_can(can: Any, otherwise: str) -> None:
    the = Scene(*can)
    assert the.line.say("One text.", "x") == ""
    assert the.posted == [SayRequested(id="1", text="One text.", otherwise=otherwise, by="x")]  # type: ignore[arg-type]
    the.model.engine, the.model.state = "connecting", machine.RECOVERING
    assert the.line.say("Two texts.", "x") == ("" if can else NO_VOICE)
    the.gates.mute("agent", True)
    assert the.line.say("Three texts.", "x") == MUTED
    assert [the.line.words.take("1"), the.line.words.take("1")] == ["One text.", ""]


def test_secret_digits_are_in_no_event() -> None:
    the = Scene("sends_digits", dtmf_sensitive=True)
    assert the.line.press_by_agent("47 11#") == ""
    (event,) = the.posted
    assert event == DtmfRequested(id="1", digits="•••••", way="carrier", by="agent")
    assert the.line.words.take("1") == "4711#"
    called = ToolCalled(id="a", tool="send_dtmf", arguments='{"digits": "4711#"}')
    assert "4711" not in the.line.without_digits(called).arguments
    assert Scene().line.without_digits(called) is called


def test_what_are_digits() -> None:
    assert all(map(are_digits, ("0123456789", "ABCD*#wW", "1" * 32)))
    assert not any(map(are_digits, ("", "x", "1 2", "1" * 33, "a", "+1")))
    assert Scene().line.press("hello", "x") == NO_KEYS


def test_words_are_forgotten_when_nobody_takes_them() -> None:
    words = Words()
    names = [words.keep(f"text {number}", "agent") for number in range(20)]
    assert words.take(names[0]) == ""
    assert words.take(names[-1]) == "text 19"
