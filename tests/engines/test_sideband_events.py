"""What a session beside a call tells of what its caller hears, and of their keys."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callflow.contracts.engine import EngineEvent, KeyPressed, PlayoutBegan, PlayoutEnded
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.sideband_events import SidebandEvents
from tests.in_loop import in_loop


class Scene:
    """Such a session, with a clock and a timer that a test moves."""

    def __init__(self) -> None:
        self.told: list[EngineEvent] = []
        self.spoke_: list[tuple[str, str]] = []
        self.timers: dict[str, Any] = {}
        self.now = 100.0
        self.beside = SidebandEvents(cast(Channel, self), cast(Any, self))
        self.beside._clock = lambda: self.now

    def notify(self, event: EngineEvent) -> None:
        self.told.append(event)

    def start_timer(self, name: str, seconds: float, callback: Any) -> None:
        self.timers[name] = callback

    def stop_timer(self, name: str) -> None:
        self.timers.pop(name, None)

    def spoke(self, response: str, item: str) -> None:
        self.spoke_.append((response, item))

    def says(self, kind: str, response: str | None = None, item: str | None = None, **more: Any) -> bool:
        return self.beside.handle(ServerEvent(kind, response_id=response, item_id=item, **more))

    def words(self, response: str | None, item: str | None, kind: str = "delta") -> None:
        self.beside.words(ServerEvent(f"response.output_audio_transcript.{kind}", response_id=response, item_id=item))

    def take(self) -> list[EngineEvent]:
        told, self.told = self.told, []
        return told


STARTED, STOPPED, CLEARED = (f"output_audio_buffer.{kind}" for kind in ("started", "stopped", "cleared"))
TRUNCATED = "conversation.item.truncated"


@in_loop
async def test_a_response_is_heard_to_its_end() -> None:
    one = Scene()
    one.words("r", "a")
    one.words("r", "b", "done")
    assert one.says(STARTED, "r")
    one.now += 1.5
    assert one.says(STOPPED, "r")
    assert one.take() == [PlayoutBegan("r"), PlayoutEnded("r", 1500, ("a", "b"))]
    assert one.spoke_ == [("r", "a"), ("r", "b")]


@pytest.mark.parametrize(("response", "item"), [(None, "a"), ("r", None), ("", "a"), (None, None)])
@in_loop
async def test_words_of_nothing_known_are_no_speech(response: str | None, item: str | None) -> None:
    one = Scene()
    one.words(response, item)
    one.beside.words(ServerEvent("response.output_text.delta", response_id="r", item_id="a"))
    assert one.spoke_ == []


@pytest.mark.parametrize("order", ["told before", "told after", "never told"])
@in_loop
async def test_a_response_that_is_cut_off_is_told_once_with_how_far_it_was_heard(order: str) -> None:
    one = Scene()
    one.words("r", "a")
    one.says(STARTED, "r")
    one.now += 0.8
    if order == "told before":
        one.says(TRUNCATED, None, "a", audio_end_ms=600.4)
    one.says(CLEARED, "r")
    if order != "told before":
        assert one.take() == [PlayoutBegan("r")], "the server has a moment to say how far it was heard"
        one.now += 5.0
    if order == "told after":
        one.says(TRUNCATED, None, "a", audio_end_ms=600.4)
    if order == "never told":
        one.timers["cleared"]()
    heard = 800 if order == "never told" else 600
    assert one.take()[-1] == PlayoutEnded("r", 800, ("a",), {"a": heard})
    assert one.timers == {}
    one.says(TRUNCATED, None, "a", audio_end_ms=1)
    assert one.take() == []


@in_loop
async def test_the_next_response_does_not_wait_for_word_of_the_one_before() -> None:
    one = Scene()
    one.words("r", "a")
    one.says(STARTED, "r")
    one.says(CLEARED, "r")
    one.says(STARTED, "s")
    assert [type(each).__name__ for each in one.take()] == ["PlayoutBegan", "PlayoutEnded", "PlayoutBegan"]
    one.says(CLEARED, "s")
    one.says(CLEARED, "t")
    assert one.take() == [PlayoutEnded("s", 0, (), {})]
    assert list(one.timers) == ["cleared"]


@in_loop
async def test_an_end_of_what_never_began_and_a_cut_of_nothing_known_are_harmless() -> None:
    one = Scene()
    one.says(STOPPED, "r")
    one.says(STOPPED)
    one.says(TRUNCATED, None, None, audio_end_ms=5)
    one.says(TRUNCATED, None, "a")
    one.says(CLEARED)
    assert one.take() == [PlayoutEnded("r", 0), PlayoutEnded("", 0)]


@pytest.mark.parametrize(
    ("told", "digit"),
    [("5", "5"), ("#", "#"), ("d", "D"), ("*", "*"), ("E", ""), ("12", ""), ("", ""), (None, ""), ("\u0661", "")],
)
@in_loop
async def test_a_key_of_a_telephone_is_told_and_nothing_else(told: str | None, digit: str) -> None:
    one = Scene()
    assert one.says("input_audio_buffer.dtmf_event_received", event=told)
    assert one.take() == ([KeyPressed(digit)] if digit else [])


@in_loop
async def test_another_event_is_left_to_others() -> None:
    one = Scene()
    assert not one.says("response.done", "r")
    assert not one.says("")
    assert one.take() == []
