"""The conditions of the machine's rows, each by itself: what it needs, and that nothing else is enough."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from callflow.call.machine import guards
from callflow.call.machine.model import (
    AWAITS_BEEP,
    CLIP,
    FALLBACK,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_NONE,
    FAREWELL_PENDING,
    MESSAGE,
    MESSAGE_DUE,
    ONE_MOMENT,
    SORRY,
    SPEAKING,
    STREAMING,
    Fallback,
    Model,
    Step,
)
from callflow.contracts import events as ev
from callflow.contracts.events import Event
from tests.call.exploration import EVENTS


GUARDS: dict[str, Callable[[Model, Step], bool]] = {
    name: found for name, found in inspect.getmembers(guards, inspect.isfunction) if found.__module__ == guards.__name__
}
FAREWELLS = (
    FAREWELL_NONE, FAREWELL_PENDING, CLIP, SPEAKING, FAREWELL_BY_AGENT, FAREWELL_BY_AGENT_FINAL, AWAITS_BEEP,
    MESSAGE_DUE, MESSAGE,
)  # fmt: skip


def asked(guard: str, event: Event | None = None, **fields: Any) -> bool:
    model = Model()
    for name, value in fields.items():
        setattr(model, name, value)
    return GUARDS[guard](model, Step(event or Event(), model.state))


USUAL = {"may_restream", "unanswered"}
"""What holds of every call as it begins."""


@pytest.mark.parametrize("guard", GUARDS)
def test_nothing_holds_of_a_call_of_which_nothing_is_known(guard: str) -> None:
    assert asked(guard) is (guard in USUAL)


@pytest.mark.parametrize("guard", GUARDS)
def test_any_event_gets_a_plain_answer_that_changes_nothing(guard: str) -> None:
    model = Model(fallback=Fallback("+15550100009"))
    before = model.key()
    for event in EVENTS:
        step = Step(event, model.state)
        assert type(GUARDS[guard](model, step)) is bool
        assert not step.commands
        assert not step.signals
    assert model.key() == before


HOLDS: list[tuple[str, Event | None, dict[str, Any]]] = [
    ("is_gone", ev.CallRecovered(found="gone"), {}),
    ("still_rings", ev.CallRecovered(found="ringing"), {}),
    ("is_given", ev.CallRecovered(given=True), {}),
    ("carrier_asks", ev.CallRecovered(found="asking"), {}),
    ("human_is_there", ev.CallRecovered(human="answered"), {}),
    ("human_has_left", ev.CallRecovered(human="gone"), {}),
    ("is_dialled", None, {"dialled": "with_dial"}),
    ("streams_on_answer", None, {"dialled": "on_answer"}),
    ("is_queued", None, {"armed": frozenset({"queue"})}),
    ("is_warm", ev.TransferRequested(mode="warm"), {"transfer": "cold"}),
    ("is_warm", None, {"transfer": "warm"}),
    ("is_cold", ev.TransferRequested(mode="cold"), {"transfer": "warm"}),
    ("is_cold", None, {"transfer": "cold"}),
    ("is_cold", None, {"transfer": "fallback"}),
    ("is_refer", ev.TransferRequested(mode="refer"), {}),
    ("is_refer", None, {"transfer": "refer"}),
    ("is_fallback", None, {"transfer": "fallback"}),
    ("is_transferred", None, {"transfer": "warm"}),
    ("has_fallback", None, {"fallback": Fallback()}),
    ("wants_fallback", ev.GoodbyeRequested(fall_back=True), {"fallback": Fallback()}),
    ("wants_fallback", ev.CallTurnedAway(fall_back=True), {"fallback": Fallback()}),
    ("falls_back", None, {"fallback": Fallback("+15550100009"), "sentence": ONE_MOMENT}),
    ("falls_back", None, {"fallback": Fallback("+15550100009"), "sentence": FALLBACK}),
    ("takes_back", None, {"takes_back": True}),
    ("has_talked", ev.CallResumed(talked=True), {}),
    ("accepts", ev.Dtmf(digit="1"), {}),
    ("is_on_hold", None, {"armed": frozenset({"hold"})}),
    ("lets_person_speak", ev.MuteRequested(for_person=True, on=True), {}),
    ("ends_take_over", ev.MuteRequested(for_person=True, on=False), {}),
    ("person_speaks", None, {"armed": frozenset({"bridged"})}),
    ("engine_is_lost", None, {"engine": "lost"}),
    ("ends_mute", ev.MuteRequested(on=False), {}),
    ("carrier_can_say", ev.SayRequested(otherwise="carrier"), {}),
    ("carrier_sends_keys", ev.DtmfRequested(way="carrier"), {}),
    ("agent_pressed", ev.CommandFailed(by="agent"), {}),
    ("is_adopted", None, {"adopted": True}),
    ("is_refused_for_room", ev.GoodbyeRequested(reason="busy"), {}),
    ("is_refused_for_room", ev.GoodbyeRequested(reason="caller_limit"), {}),
    ("media_is_lost", None, {"media": "lost"}),
    ("media_is_open", None, {"media": "open"}),
    ("engine_is_up", None, {"engine": "ready"}),
    ("engine_expected", None, {"engine": "connecting"}),
    ("engine_expected", None, {"engine": "ready"}),
    ("engine_awaited", None, {"engine": "connecting"}),
    ("may_reconnect", ev.EngineLost(), {"tries": 2}),
    ("may_restream", None, {"stream_restarts": 2}),
    ("never_restreams", None, {"stream_tries": 0}),
    ("asked_enough", ev.NoInput(last=True), {}),
    ("stream_requested", None, {"armed": frozenset({"restream"})}),
    ("machine_matters", ev.AnsweredBy(then="message"), {"state": STREAMING}),
    ("machine_matters", ev.AnsweredBy(then="hang_up"), {"dialled": "sip"}),
    ("has_message", ev.AnsweredBy(then="message"), {}),
    ("may_begin", ev.AnsweredBy(ready=True), {}),
    ("is_conversation", ev.AnsweredBy(exchanges=3), {}),
]


@pytest.mark.parametrize(("guard", "event", "fields"), HOLDS)
def test_what_it_needs_is_enough(guard: str, event: Event | None, fields: dict[str, Any]) -> None:
    assert asked(guard, event, **fields)


FAILS: list[tuple[str, Event | None, dict[str, Any]]] = [
    ("is_gone", ev.CallRecovered(found="ringing"), {}),
    ("is_given", ev.CallRecovered(handed_over=True), {}),
    ("human_is_there", ev.CallRecovered(human="gone"), {}),
    ("unanswered", None, {"answer_sent": True}),
    ("is_warm", ev.TransferRequested(mode="cold"), {"transfer": "warm"}),
    ("is_cold", ev.TransferRequested(mode="warm"), {"transfer": "cold"}),
    ("is_refer", ev.TransferRequested(mode="warm"), {"transfer": "refer"}),
    ("is_fallback", None, {"transfer": "cold"}),
    ("streams_on_answer", None, {"dialled": "with_dial"}),
    ("wants_fallback", ev.GoodbyeRequested(fall_back=True), {}),
    ("wants_fallback", ev.GoodbyeRequested(), {"fallback": Fallback("+15550100009")}),
    ("falls_back", None, {"fallback": Fallback(""), "sentence": ONE_MOMENT}),
    ("falls_back", None, {"fallback": Fallback("+15550100009"), "sentence": SORRY}),
    ("falls_back", None, {"sentence": FALLBACK}),
    ("accepts", ev.Dtmf(digit="2"), {}),
    ("accepts", ev.Dtmf(digit=""), {}),
    ("accepts", ev.Dtmf(digit="11"), {}),
    ("lets_person_speak", ev.MuteRequested(for_person=False, on=True), {}),
    ("ends_take_over", ev.MuteRequested(for_person=True, on=True), {}),
    ("ends_mute", ev.MuteRequested(on=True), {}),
    ("agent_pressed", ev.CommandFailed(by="ada"), {}),
    ("is_refused_for_room", ev.GoodbyeRequested(reason="budget"), {}),
    ("may_reconnect", ev.EngineLost(), {"tries": 3}),
    ("may_reconnect", ev.EngineLost(), {"tries": 4}),
    ("may_reconnect", ev.EngineLost(retry=False), {}),
    ("may_restream", None, {"stream_restarts": 3}),
    ("may_restream", None, {"stream_tries": 0}),
    ("machine_matters", ev.AnsweredBy(then="message"), {}),
    ("machine_matters", ev.AnsweredBy(), {"state": STREAMING}),
    ("has_message", ev.AnsweredBy(then="hang_up"), {}),
    ("is_conversation", ev.AnsweredBy(exchanges=2), {}),
    ("engine_awaited", None, {"engine": "ready"}),
]


@pytest.mark.parametrize(("guard", "event", "fields"), FAILS)
def test_what_only_looks_like_it_is_not(guard: str, event: Event | None, fields: dict[str, Any]) -> None:
    assert not asked(guard, event, **fields)


TO_MACHINE = {AWAITS_BEEP, MESSAGE_DUE, MESSAGE}
LAST_WORDS: dict[str, set[str]] = {
    "in_farewell": {*FAREWELLS} - {FAREWELL_NONE},
    "carrier_speaks": {SPEAKING},
    "clip_plays": {CLIP},
    "agent_says_goodbye": {FAREWELL_BY_AGENT, FAREWELL_BY_AGENT_FINAL},
    "agent_silenced": {CLIP, SPEAKING, FAREWELL_PENDING, *TO_MACHINE},
    "end_is_settled": {CLIP, SPEAKING, FAREWELL_PENDING, FAREWELL_BY_AGENT_FINAL, *TO_MACHINE},
    "is_machine": TO_MACHINE,
    "awaits_beep": {AWAITS_BEEP},
    "says_message": {MESSAGE},
}


@pytest.mark.parametrize("guard", LAST_WORDS)
def test_what_holds_while_the_last_sentence_is_due(guard: str) -> None:
    assert {farewell for farewell in FAREWELLS if asked(guard, farewell=farewell)} == LAST_WORDS[guard]


def test_no_guard_is_left_out() -> None:
    tried = {row[0] for row in (*HOLDS, *FAILS)} | set(LAST_WORDS)
    assert set(GUARDS) == tried
