"""The audio of a session: the caller's waits until it can be read, and the model's goes on as it is where it can."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.engine import AudioDelta, AudioDone, EngineEvent
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.audio_pipeline import AudioPipeline
from callflow.engines.openai_realtime.server_events import ServerEvent


FRAME = base64.b64encode(bytes([0x55]) * 160).decode()
SPEECH = bytes(range(256)) * 4


class Scene:
    def __init__(self, *, is_open: bool = True, goes_straight: bool = True, buffer_seconds: float = 1.0) -> None:
        self.sent: list[str] = []
        self.told: list[EngineEvent] = []
        self.played: list[AudioDelta] = []
        self.given_up: list[tuple[str, bool]] = []
        self.timers: list[str] = []
        self.goes_straight = goes_straight
        socket: Any = SimpleNamespace(put=lambda text: self.sent.append(json.loads(text)["audio"]))
        self.channel: Any = SimpleNamespace(
            socket=socket if is_open else None, notify=self.told.append, give_up=self._give_up,
            start_timer=lambda name, *_: self.timers.append(name), stop_timer=self.timers.remove,
            is_timed=self.timers.__contains__, call="call",
            report=lambda *about: None,
        )  # fmt: skip
        session: Any = SimpleNamespace(
            config=SimpleNamespace(buffer_seconds=buffer_seconds, engine_audio="pcmu"), awaits_formats=False
        )
        self.audio = AudioPipeline(session, cast(Channel, self.channel), self._play)

    def _give_up(self, reason: str, *, retry: bool = True) -> None:
        self.given_up.append((reason, retry))

    def _play(self, event: AudioDelta) -> bool:
        self.played.append(event)
        return self.goes_straight

    def begin(self) -> None:
        self.audio.begin()
        self.audio.resume()

    def formats(self, **named: Any) -> None:
        sides = {side: {"format": {"type": kind}} for side, kind in named.items()}
        self.audio.use_formats(ServerEvent("session.updated", session={"audio": sides}))


# The caller's


def test_the_callers_audio_waits_for_the_session_and_is_sent_once_in_its_order() -> None:
    one = Scene()
    frames = [base64.b64encode(bytes([number]) * 160).decode() for number in range(5)]
    for frame in frames[:3]:
        one.audio.append(frame)
    one.audio.resume()
    assert one.sent == [], "it is not ready"
    one.begin()
    for frame in frames[3:]:
        one.audio.append(frame)
    one.audio.resume()
    assert one.sent == frames
    assert one.audio.appended == 5 * 160


@pytest.mark.parametrize("length", [0, 1, 2, 3, 159, 160, 161])
def test_what_was_sent_is_counted_in_bytes_of_audio(length: int) -> None:
    one = Scene()
    one.begin()
    one.audio.append(base64.b64encode(bytes(length)).decode())
    assert one.audio.appended == length


def test_audio_that_waits_too_long_ends_the_session_and_what_has_waited_before_does_not_count() -> None:
    one = Scene(buffer_seconds=1.0)
    for _ in range(50):
        one.audio.append(FRAME)
    assert one.given_up == []
    one.audio.await_session()
    for _ in range(50):
        one.audio.append(FRAME)
    assert one.given_up == []
    one.audio.append(FRAME)
    assert one.given_up == [("caller audio has waited 1 s for it", True)]


def test_after_the_end_nothing_waits_and_nothing_is_sent() -> None:
    one = Scene()
    one.audio.append(FRAME)
    one.audio.close()
    one.begin()
    for _ in range(1000):
        one.audio.append(FRAME)
    assert (one.sent, one.audio._waiting, one.given_up) == ([], [], [])


def test_how_long_ago_the_caller_ended_is_never_negative() -> None:
    one = Scene()
    one.begin()
    for _ in range(10):
        one.audio.append(FRAME)
    assert one.audio.ms_since(150) == 50.0
    assert one.audio.ms_since(10_000) == 0.0
    assert one.audio.ms_since(0) == 200.0


# The model's


def delta(audio: bytes = SPEECH, *, response: str = "r", item: str = "i", content: int = 0) -> AudioDelta:
    return AudioDelta(response, item, content, audio)


def test_audio_in_the_telephones_format_goes_straight_to_the_call_while_nothing_else_comes() -> None:
    one = Scene()
    one.formats(output="audio/pcmu")
    for _ in range(20):
        one.audio.delta(delta())
    assert one.audio.has_spoken
    assert one.told, "it goes straight"
    straight, played = len(one.told), len(one.played)
    assert b"".join(each.audio for each in (*one.played, *one.told) if isinstance(each, AudioDelta)) == SPEECH * 20
    one.audio.look_again()
    one.audio.delta(delta())
    assert (len(one.told), len(one.played)) == (straight, played + 1)
    one.audio.delta(delta(response="s"))
    one.audio.delta(delta(item="j"))
    assert len(one.told) == straight, "another response or item is looked at"


def test_who_does_not_want_it_straight_gets_each_piece() -> None:
    one = Scene(goes_straight=False)
    for _ in range(20):
        one.audio.delta(delta())
    assert one.told == []
    assert b"".join(each.audio for each in one.played) == SPEECH * 20


def test_nothing_is_played_after_the_end() -> None:
    one = Scene()
    for _ in range(20):
        one.audio.delta(delta())
    one.audio.close()
    told, played = len(one.told), len(one.played)
    one.audio.delta(delta())
    one.audio.delta(delta(item="j"))
    assert (len(one.told), len(one.played)) == (told, played)


@pytest.mark.parametrize("ends", ["done", "response"])
def test_a_short_stretch_is_played_whole_however_its_end_is_told(ends: str) -> None:
    one = Scene()
    one.audio.delta(delta(b"\x55" * 80))
    if ends == "done":
        one.audio.done(AudioDone("r", "i", 0))
        one.audio.done(AudioDone("r", "i", 0))
    else:
        one.audio.response_done("another")
        one.audio.response_done(None)
        assert one.played == [], "it goes on"
        one.audio.response_done("r")
        one.audio.response_done("r")
    assert b"".join(each.audio for each in one.played) == b"\x55" * 80


def test_a_server_that_ends_no_stretch_makes_no_heap_of_them() -> None:
    one = Scene()
    for number in range(500):
        one.audio.delta(delta(b"\x55" * 8, item=f"i{number}"))
    assert len(one.audio._stretches) <= 17


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_format_that_nobody_can_read_ends_the_session_for_good(side: str) -> None:
    one = Scene()
    one.formats(**{side: "audio/opus"})
    assert one.given_up == [(f"the engine insists on audio/opus for its {side}", False)]


@pytest.mark.parametrize(
    "session",
    [None, [], "x", {}, {"audio": None}, {"audio": {"input": 5}}, {"audio": {"input": {"format": None}}},
     {"audio": {"output": {"format": {"type": 7}}}}, {"audio": []}],
)  # fmt: skip
def test_a_session_that_names_no_format_changes_none(session: Any) -> None:
    one = Scene()
    one.audio.use_formats(ServerEvent("session.updated", session=session))
    assert one.given_up == []
    assert one.audio._confirmed == {"input": "pcmu", "output": "pcmu"}


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12))
def test_no_byte_of_speech_is_lost_however_it_is_cut(sizes: list[int]) -> None:
    one, whole, at = Scene(), SPEECH * 5, 0
    for size in sizes:
        one.audio.delta(delta(whole[at : at + size]))
        at += size
    one.audio.done(AudioDone("r", "i", 0))
    heard = [each for each in (*one.played, *one.told) if isinstance(each, AudioDelta)]
    assert sum(len(each.audio) for each in heard) == min(at, len(whole))
