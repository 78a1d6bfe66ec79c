"""What the proofs of a cluster count: frames that were lost, commands that took effect twice, and how long a caller
waits. All of it is read off the emulated carrier and the emulated model, which stay while nodes die."""

from __future__ import annotations

import asyncio
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from callflow.media.g711 import FRAME_BYTES, ULAW_SILENCE
from callflow.sandbox.common.phone import Phone, is_loud
from callflow.sandbox.common.playout import BYTES_PER_SECOND, Segment
from callflow.sandbox.openai_realtime import Realtime, Say, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e import product
from tests.e2e.product import Exchange
from tests.e2e.talk import noise


SENTENCE: Final = noise(6000, 1)
"""What the agent says first in every session."""
ANSWER: Final = noise(1500, 2)
TALK: Final = Script.of(
    Turn((Say("Good day, this is the harbour office, and there is a lot to tell.", SENTENCE),)),
    otherwise=Turn.say("Yes, I am here.", ANSWER),
)
FRAME_SECONDS: Final = 0.02

# Callers whose every frame has a number


_MAGIC: Final = b"\x70\x71\x70"
_PIECE: Final = 40_000
_HEAD: Final = re.compile(_MAGIC + rb"([\xf0-\xff]{2})([\xf0-\xff]{5})")
_LOUD: Final = noise(20, 3).translate(bytes((code & 0x80) | (code & 0x3F) for code in range(256)))
"""A frame of speech, in which the head of a frame cannot occur."""


class Voice:
    """A caller: silence and speech, in frames that say whose they are and which one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.at: list[float] = []
        """When each frame was said."""
        self.speech: set[int] = set()
        """Which of them are no silence."""
        self._left = 0
        self.phone = Phone(source=self._frame)

    def say(self, ms: float) -> None:
        self._left = round(ms / 1000 / FRAME_SECONDS)

    @property
    def is_speaking(self) -> bool:
        return self._left > 0

    def _frame(self, _: int) -> bytes:
        which = len(self.at)
        self.at.append(monotonic())
        rest = bytes([ULAW_SILENCE]) * FRAME_BYTES
        if self._left:
            self._left -= 1
            self.speech.add(which)
            rest = _LOUD
        head = _MAGIC + _digits(self.number, 2) + _digits(which, 5)
        return head + rest[len(head) :]


def _digits(number: int, places: int) -> bytes:
    return bytes(0xF0 | int(digit, 16) for digit in f"{number:0{places}x}")


class Arrivals:
    """The frames of each caller that some session of the model has got.

    What has come since the last time is read in small pieces: carrier and model live on the loop of the test, and every
    call would lose a model that is away for seconds.
    """

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime
        self._read: list[int] = []
        """Bytes of each session that are read already."""
        self._found: list[list[tuple[int, int]]] = []

    async def read(self) -> dict[int, list[int]]:
        """The numbers of the frames, by caller, in the order of sessions and of arrival."""
        arrived: dict[int, list[int]] = {}
        for number, session in enumerate(list(self._realtime.sessions)):
            if number == len(self._read):
                self._read.append(0)
                self._found.append([])
            for at in range(self._read[number], len(session.audio_in), _PIECE):
                piece = bytes(session.audio_in[self._read[number] : at + _PIECE])
                end = 0
                for head in _HEAD.finditer(piece):
                    whose, which = (int("".join(f"{code & 15:x}" for code in part), 16) for part in head.groups())
                    self._found[number].append((whose, which))
                    end = head.end()
                self._read[number] += end
                await asyncio.sleep(0)
            for whose, which in self._found[number]:
                arrived.setdefault(whose, []).append(which)
        return arrived


# Where a call is


def owner(call: Any) -> str:
    """The node that its newest media stream names."""
    found = re.search(r"/nodes/([^/]+)/", call.streams[-1].options.url)
    assert found, call.streams[-1].options.url
    return found[1]


def process_of(folder: Path, node: str) -> int:
    """The process that holds a node's lock."""
    lock = str((folder / "data" / "cluster" / f"{node}.lock").resolve())
    for path in Path("/proc").glob("[0-9]*/fd"):
        try:
            if "callflow.cli.worker" not in (path.parent / "cmdline").read_text():
                continue
            if any(str(one.readlink()) == lock for one in path.iterdir()):
                return int(path.parent.name)
        except OSError:
            continue
    raise AssertionError(f"nobody holds {lock}")


# What took effect


_NOT_AN_ACT: Final = {
    "get", "patch", "delete", "fetch", "list", "numbers", "number", "account", "stream", "recordings", "recording",
    "media",
}  # fmt: skip
_OPENS: Final = "opens a stream"


def effects(carrier: Exchange) -> Counter[tuple[str, str]]:
    """How often each act took effect: the call that it is about, and what was asked for."""
    count: Counter[tuple[str, str]] = Counter()
    streams: Counter[str] = Counter()
    commands: list[Any] = list(carrier.commands)
    for one in commands:
        if one.action in _NOT_AN_ACT or not 200 <= (one.status or 0) < 300:
            continue
        if not isinstance(carrier, Telnyx):
            count[one.call_sid, _twilio_act(one)] += 1
        elif not one.duplicate:
            call, act = one.call_control_id or "", _telnyx_act(one)
            if act == _OPENS:
                streams[call] += 1
            # Whoever takes a call over may have to stop the stream that it finds: each of them once.
            count[call, f"{act} of stream {streams[call]}" if one.action == "streaming_stop" else act] += 1
    return count


def _telnyx_act(one: Any) -> str:
    if one.action == "streaming_start":
        return _OPENS
    if one.action == "dial":
        return f"dials {one.body['to']}"
    body = {key: value for key, value in dict(one.body).items() if key not in ("client_state", "command_id")}
    return f"{one.action} {msgspec.json.encode(body, order='sorted').decode() if one.action != 'answer' else ''}"


def _twilio_act(one: Any) -> str:
    if one.action == "create":
        return f"dials {one.value('To')}"
    form = sorted((key, value) for key, value in one.form)
    return _OPENS if "<Connect" in one.value("Twiml") else f"{one.action} {form}"


def done_twice(carrier: Exchange, dialled_again: Iterable[str] = ()) -> dict[tuple[str, str], int]:
    """The acts that took effect more than once. Opening a stream may: see `streams_too_many`."""
    again = {f"dials {number}" for number in dialled_again}
    return {key: n for key, n in effects(carrier).items() if n > 1 and key[1] != _OPENS and key[1] not in again}


# What is asserted of all callers


def nobody_lost(carrier: Exchange, calls: Sequence[Any]) -> None:
    lost = [call.story() for call in calls if call.ended_at is not None]
    assert lost == [], f"{len(lost)} of {len(calls)} calls were lost"
    assert carrier.failures == []


def nothing_twice(carrier: Exchange) -> None:
    twice = done_twice(carrier)
    assert twice == {}, f"commands that took effect twice: {twice}"
    for call in carrier.calls.values():
        open_ones = [stream for stream in call.streams if not stream.ended]
        assert len(open_ones) <= 1, call.story()


def every_frame(arrived: Mapping[int, Sequence[int]], voice: Voice, first: int, last: int) -> None:
    """Every frame from `first` to `last` has come to the model, once and in order. `arrived`: see `Arrivals`."""
    got = [which for which in arrived.get(voice.number, []) if first <= which <= last]
    assert got == list(range(first, last + 1)), (
        f"caller {voice.number}: {last + 1 - first - len(set(got))} frames of {last + 1 - first} lost, "
        f"{len(got) - len(set(got))} twice"
    )


# How long somebody waits


class Gaps:
    """Until a caller hears something, and until the model speaks, in seconds."""

    def __init__(self) -> None:
        self.sound: list[float] = []
        self.model: list[float] = []

    def add(self, call: Any, since: float, streams: int) -> None:
        """Of a call that had so many streams when something broke."""
        sound, model = first_sound(call, since, streams)
        self.sound.append(sound - since)
        self.model.append(model - since)

    def told(self, scene: str) -> str:
        """For `pytest -s`, and for what a failed assertion says."""
        line = (
            f"{scene}, {product.usual}: {len(self.sound)} calls moved; something is heard after "
            f"{_shape(self.sound)}, the model speaks after {_shape(self.model)}"
        )
        print(f"\n{line}")
        return line


def _shape(seconds: Sequence[float]) -> str:
    return f"p50 {statistics.median(seconds):.2f} s, p95 {p95(seconds):.2f} s, at most {max(seconds):.2f} s"


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(int(len(seconds) * 0.95), len(seconds) - 1)]


def first_sound(call: Any, since: float, streams: int) -> tuple[float, float]:
    """When the caller heard the first loud frame after that, and the first one of the model, not counting what was
    left of the first so many streams. Infinite: not yet."""
    old = {f"media {stream.stream_id}" for stream in call.streams[:streams]}
    sound = float("inf")
    for name, line in call.phone.lines.items():
        if name not in old:
            for at, frame in _frames(line.segments, since):
                sound = min(sound, at)
                if frame in SENTENCE or frame in ANSWER:
                    return sound, at
    return sound, float("inf")


def _frames(segments: Iterable[Segment], since: float) -> Iterator[tuple[float, bytes]]:
    """The loud frames that were heard from then until now."""
    now = monotonic()
    for segment in segments:
        for start in range(0, len(segment.audio) - FRAME_BYTES + 1, FRAME_BYTES):
            at, frame = segment.at + start / BYTES_PER_SECOND, bytes(segment.audio[start : start + FRAME_BYTES])
            if since <= at <= now and is_loud(frame):
                yield at, frame


def hears_the_model(call: Any, since: float = 0.0, streams: int = 0) -> bool:
    return first_sound(call, since, streams)[1] < float("inf")
