"""The quick way of the model's audio does what the long way does, whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callflow.agent.continued_speech import ContinuedSpeech
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    ResponseDone,
    ResponseStarted,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.in_loop import in_loop


FRAME = bytes([1]) * 160
OTHERS = (
    "pause", "words", "said", "item", "starts", "stops", "began", "done", "missed", "mutes", "unmutes", "lost",
    "hear_again", "dropped", "unheard", "ended", "clip", "music", "stream_lost", "stream_back", "watched", "rotates",
    "cut_off", "whisper",
)  # fmt: skip


class LongWay(ContinuedSpeech):
    """Lets nothing continue."""

    __slots__ = ()

    def plays(self, heard: AudioDelta) -> bool:
        return False


class Shown:
    """Listens in."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []

    def caller(self, audio: bytes) -> None: ...

    def agent(self, audio: bytes) -> None:
        self.heard.append(audio)

    def cut(self) -> None:
        self.heard.append("cut")


@dataclass
class Played:
    scene: Scene
    said: list[Any]


def play(acts: list[str], *, protected: bool = False, quick: bool = True) -> Played:
    """Play a call, and note what can be told after each act."""
    scene = Scene(greeting_protected=protected, reply_filler_seconds=2.5, reply_seconds=8.0)
    if not quick:
        turns, long_way = scene.turns, LongWay(scene.relay)
        turns.continued = long_way
        cast(Any, scene.agent.sessions)._continued = cast(Any, turns.dead_air)._continued = long_way
    scene.ready()
    scene.tell(ResponseStarted("resp_1"))

    def tell(event: EngineEvent) -> None:
        present = cast(Any, scene.agent.sessions.engine)  # not the next one, which waits for a quiet moment
        if present is not None:
            present.tell(event)

    response, item, said, shown = 1, 1, list[Any](), Shown()
    for act in acts:
        name, response_name = f"item_{item}", f"resp_{response}"
        match act:
            case "audio":
                tell(AudioDelta(response_name, name, 0, FRAME))
            case "speech":
                for _ in range(4):
                    tell(AudioDelta(response_name, name, 0, FRAME))
                    scene.hear(0.02)
            case "pause":
                scene.hear(0.5)
            case "words":
                tell(Transcript("agent", name, "We open", final=False))
            case "said":
                tell(AudioDone(response_name, name, 0))
            case "item":
                item += 1
            case "starts":
                tell(SpeechStarted())
            case "stops":
                tell(SpeechStopped(200.0))
            case "began":
                response, item = response + 1, item + 1
                tell(ResponseStarted(f"resp_{response}"))
            case "done":
                tell(ResponseDone(response_name, "completed", answered=True, items=(name,)))
            case "missed":
                scene.turns.missed_end(scene.now - 0.3)
            case "unheard":
                scene.turns.missed_turn(scene.now - 0.3)
            case "mutes" | "unmutes":
                scene.relay.gates.mute("agent", on=act == "mutes")
            case "lost":
                scene.agent.connect()
                scene.ready()
            case "hear_again":
                scene.agent.prompter.prompt("resume", 1)
            case "ended":
                scene.agent.ended(for_good=True)
            case "dropped":
                scene.turns.drop_responses()
            case "clip":
                scene.turns.interject("one-moment")
            case "music":
                scene.relay.sounds.play_keys("12", secret=False)
            case "stream_lost":
                cast(Any, scene.relay)._stream = None
                scene.turns.stream_paused()
            case "stream_back":
                cast(Any, scene.relay)._stream = scene.stream
                scene.relay.started("stream_2", "PCMU")
            case "watched":
                scene.relay.taps.add(shown)
            case "rotates":
                scene.agent.rotate()
                scene.tell(SessionReady())
            case "cut_off":
                cast(Any, scene.relay)._cut_off()
            case "whisper":
                scene.agent.respond_to("a fact", shown="a fact")
        scene.relay.pass_caller_frame("", b"\xff" * 160)
        said.append((told(scene), list(shown.heard)))
    return Played(scene, said)


def told(scene: Scene) -> Any:
    turns, playout, now = scene.turns, scene.relay.playout, scene.now
    timer = cast(Any, turns.dead_air)._up_to_date()
    return (
        list(scene.stream.sent), [engine.asked for engine in scene.engines], turns.conversation.state,
        playout.position(now), playout.waiting_ms, playout.hearing(now), turns.is_answer_due, turns.is_filling,
        turns.taking.responses, turns.taking.audio_is_needed, turns.latency.waits_for_audio, timer._since, timer._until,
        bytes(scene.agent.sessions._recent_audio), scene.agent.prompter._timers.is_running("ask"),
    )  # fmt: skip


@pytest.mark.exhaustive
@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(("audio", "speech")), st.sampled_from(OTHERS)), max_size=25), st.booleans())
@example(["done", "began", "audio", "hear_again", "speech", "done"], True).via("a greeting that is said again")
def test_the_quick_way_does_what_the_long_way_does(acts: list[str], protected: bool) -> None:
    @in_loop
    async def compare() -> None:
        quick, slow = (play(acts, protected=protected, quick=quick) for quick in (True, False))
        assert quick.said == slow.said
        assert quick.scene.notes == slow.scene.notes
        assert quick.scene.events == slow.scene.events

    compare()


@in_loop
async def test_audio_that_only_continues_takes_the_quick_way() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ResponseStarted("resp_1"))
    passed = 0
    for _ in range(50):
        scene.turns.continued.take_played_at()
        scene.tell(AudioDelta("resp_1", "item_1", 0, FRAME))
        passed += scene.turns.continued.take_played_at() is not None
        scene.hear(0.02)
    assert passed >= 35  # every fifth frame has a mark behind it


@pytest.mark.parametrize("between", [SpeechStopped(None), Transcript("agent", "item_1", "We", final=False)])
@in_loop
async def test_after_anything_else_the_next_audio_is_looked_at(between: EngineEvent) -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ResponseStarted("resp_1"), *[AudioDelta("resp_1", "item_1", 0, FRAME)] * 2)
    scene.tell(between)
    scene.turns.continued.take_played_at()
    scene.now += 0.02
    scene.tell(AudioDelta("resp_1", "item_1", 0, FRAME))
    assert scene.turns.continued.take_played_at() is None


@in_loop
async def test_a_silence_is_counted_from_the_last_audio_that_continued() -> None:
    scene = Scene(reply_filler_seconds=2.5, reply_seconds=8.0)
    scene.ready()
    scene.tell(ResponseStarted("resp_1"))
    for _ in range(203):
        scene.tell(AudioDelta("resp_1", "item_1", 0, FRAME))
        scene.hear(0.02)
    dead_air = cast(Any, scene.turns.dead_air)
    assert cast(Any, scene.turns.continued)._played_at is not None, "the last audio took the quick way"
    assert dead_air._up_to_date().filler_at() == pytest.approx(scene.turns.audible_until(scene.now) + 2.5)
    scene.now += 2.0
    dead_air._look()
    assert scene.took(notes.Filler) == []
    scene.now += 0.6
    dead_air._look()
    assert [note.clip for note in scene.took(notes.Filler)] == ["one-moment"]
