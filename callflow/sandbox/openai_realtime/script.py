"""What the emulated model says and calls (scripts, turns), and how fast (pace); audio deltas are made here."""

from __future__ import annotations

import json
import math
import random
from array import array
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from callflow.media.g711 import ULAW_TO_LINEAR, pcm16_to_ulaw, ulaw_to_alaw
from callflow.sandbox import voices


@dataclass(frozen=True, slots=True)
class Say:
    """One assistant message: its words and their audio (µ-law, 8 kHz; empty: a tone stands for it)."""

    text: str
    audio: bytes = b""
    phase: Literal["", "commentary", "final_answer"] = ""
    """2.x models mark a preamble as commentary. The field is in no typed model, so clients must accept it unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """One function call. `arguments` may be a string, to send what is not valid JSON."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    call_id: str = ""

    @property
    def json(self) -> str:
        """The arguments as they are sent."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Ask(Call):
    """A request for leave to call a tool of a remote server. What the client answers, the next turns have to say."""

    server: str = "shop"


@dataclass(frozen=True, slots=True)
class Turn:
    """One response: its output items in order, and how it ends."""

    output: tuple[Say | Call, ...] = ()
    status: Literal["completed", "failed", "incomplete"] = "completed"
    reason: str = ""
    """For incomplete: max_output_tokens or content_filter."""
    error_code: str = ""
    """For failed: status_details.error.code, such as inference_rate_limit_exceeded or server_error."""
    mute: bool = False
    """The request is never answered, not even with `response.created`."""
    first_byte_ms: float | None = None
    """Replaces `Pace.first_byte_ms` for this turn."""

    @classmethod
    def say(cls, text: str, audio: bytes = b"") -> Turn:
        """Make a turn of one message."""
        return cls((Say(text, audio),))

    @classmethod
    def voice(cls, *names: str) -> Turn:
        """Make a turn of those recordings (see `voices.TEXTS`), one message item each."""
        return cls(tuple(Say(voices.TEXTS[name], voices.load(name)) for name in names))

    @classmethod
    def call(cls, name: str, /, **arguments: Any) -> Turn:
        """Make a turn of one function call."""
        return cls((Call(name, arguments),))

    @classmethod
    def silence(cls) -> Turn:
        """Make a turn that is never answered."""
        return cls(mute=True)


@dataclass(frozen=True, slots=True)
class Script:
    """What the model answers: `turns` in order, one a response, then always `otherwise`. Each session starts again.

    A response outside of the conversation (`conversation: "none"`) gets `aside` and uses no turn. A turn is used by a
    response that begins, whether it is interrupted or not; if a fault makes the response fail, the next one gets it.
    """

    turns: tuple[Turn, ...] = ()
    otherwise: Turn = Turn()
    aside: Turn = Turn((Say("Noted."),))
    heard: tuple[str, ...] = ()
    """What the caller's turns are transcribed as, in order; then `heard_otherwise`. "" is an empty transcript."""
    heard_otherwise: str = "I have a question."
    echo: bool = False
    """For benchmarks: appended audio comes back at once as a delta of one endless response, without turn detection."""
    on_echo: Callable[[str], None] | None = None
    """For benchmarks: called with the base64 of appended audio when it arrives."""

    @classmethod
    def of(cls, *turns: Turn, otherwise: Turn | None = None, heard: Sequence[str] = ()) -> Script:
        """Make a script of those turns, then `otherwise`, by default the last of them."""
        return cls(turns, otherwise or (turns[-1] if turns else Turn()), heard=tuple(heard))

    @classmethod
    def office(cls) -> Script:
        """Make the default script: a greeting, opening hours, tomorrow, a goodbye, then "please repeat"."""
        return cls(
            tuple(Turn.voice(f"agent/{name}") for name in ("greeting", "hours", "tomorrow", "goodbye")),
            otherwise=Turn.voice("agent/repeat"),
            heard=tuple(voices.TEXTS[f"caller/{name}"] for name in ("hours", "interruption", "thanks")),
        )

    @classmethod
    def tone(cls, seconds: float, *, hertz: float = 440.0) -> Script:
        """Make a script whose every answer is a tone of that length."""
        return cls(otherwise=Turn.say("A tone.", tone(seconds, hertz)))

    @classmethod
    def silent(cls) -> Script:
        """Make a script that never answers."""
        return cls(otherwise=Turn.silence())

    @classmethod
    def echoing(cls, on_echo: Callable[[str], None] | None = None) -> Script:
        """Make the script for benchmarks: see `echo` and `on_echo`."""
        return cls(echo=True, on_echo=on_echo)

    def turn(self, number: int) -> Turn:
        """Return the turn for the conversation's response with that number, from 0."""
        return self.turns[number] if number < len(self.turns) else self.otherwise

    def transcript(self, number: int) -> str:
        """Return the transcript of the caller's turn with that number, from 0."""
        return self.heard[number] if number < len(self.heard) else self.heard_otherwise


@dataclass(slots=True)
class Pace:
    """How fast the model is. The defaults resemble the real one; `Pace.instant()` is for tests."""

    first_byte_ms: float = 200.0
    """From the request (or the end of the caller's turn) to the first output."""
    delta_ms: list[int] = field(default_factory=lambda: [60, 120, 200, 400])
    """Length of the first audio deltas in ms; the last repeats. OpenAI specifies no length, and it varies."""
    speed: float = 6.0
    """Seconds of audio that are generated in a second; infinite: all at once."""
    jitter: float = 0.2
    """Every wait is multiplied by a random factor between 1 - jitter and 1 + jitter."""
    seed: int = 1
    transcription_ms: float = 300.0
    """From the commit of the caller's turn to its transcript: before, within or after the response."""

    @classmethod
    def instant(cls, **others: Any) -> Pace:
        """Make a pace without any waits, for tests; `others` replace fields."""
        return cls(**{"first_byte_ms": 0.0, "speed": math.inf, "jitter": 0.0, "transcription_ms": 0.0} | others)

    def jitter_source(self, number: int) -> random.Random:
        """Return the random numbers for the jitter of a connection: the same in every run."""
        return random.Random(f"{self.seed}/{number}")


class Delta(NamedTuple):
    """One piece of audio, ready to send: its length in ms and in bytes, and the base64 of it."""

    ms: float
    size: int
    base64: str


PCM: Final = "audio/pcm"
ODD_DELTA_BYTES: Final = 1001
"""The size of deltas that are no multiple of a frame or a sample (a fault)."""


@lru_cache(maxsize=64)
def tone(seconds: float, hertz: float = 440.0, amplitude: int = 9000) -> bytes:
    """Make a sine as µ-law; `hertz`: its frequency; `amplitude` is 0…32767."""
    step = 2 * math.pi * hertz / 8000
    return pcm16_to_ulaw(
        array("h", (round(amplitude * math.sin(step * n)) for n in range(round(seconds * 8000)))).tobytes()
    )


@lru_cache(maxsize=64)
def encode(ulaw: bytes, audio_format: str) -> bytes:
    """Encode µ-law in a session's output format: audio/pcmu, audio/pcma, or audio/pcm (16 bit, 24 kHz)."""
    if audio_format == "audio/pcmu":
        return ulaw
    if audio_format == "audio/pcma":
        return ulaw_to_alaw(ulaw)
    samples = [ULAW_TO_LINEAR[code] for code in ulaw]
    wide = array("h", bytes(6 * len(samples)))
    wide[0::3] = array("h", samples)
    following = [*samples[1:], 0]
    wide[1::3] = array("h", ((2 * a + b) // 3 for a, b in zip(samples, following, strict=True)))
    wide[2::3] = array("h", ((a + 2 * b) // 3 for a, b in zip(samples, following, strict=True)))
    return wide.tobytes()


@lru_cache(maxsize=256)
def deltas(ulaw: bytes, audio_format: str, sizes_ms: tuple[int, ...], odd: bool) -> tuple[Delta, ...]:
    """Cut a recording into deltas of those sizes; no sizes: all in one. `odd`: of ODD_DELTA_BYTES each."""
    audio = encode(ulaw, audio_format)
    per_ms = 48 if audio_format == PCM else 8
    cut: list[Delta] = []
    start = 0
    while start < len(audio):
        if odd:
            size = ODD_DELTA_BYTES
        elif sizes_ms:
            size = sizes_ms[min(len(cut), len(sizes_ms) - 1)] * per_ms
        else:
            size = len(audio)
        piece = audio[start : start + max(size, 1)]
        cut.append(Delta(len(piece) / per_ms, len(piece), b64encode(piece).decode("ascii")))
        start += len(piece)
    return tuple(cut)


def words(text: str, pieces: int) -> list[str]:
    """Cut a text into at most `pieces` transcript deltas, at word borders; joined they are the text."""
    parts = [part if n == 0 else f" {part}" for n, part in enumerate(text.split(" "))] if text else []
    each = max(1, math.ceil(len(parts) / max(pieces, 1)))
    return ["".join(parts[n : n + each]) for n in range(0, len(parts), each)]
