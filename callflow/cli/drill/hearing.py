"""What a caller has heard, from whom, and how long there was silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from callflow.media import clips
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES
from callflow.sandbox import telnyx, twilio
from callflow.sandbox.common.phone import is_loud
from callflow.sandbox.common.playout import Segment


_PAUSE_SECONDS: Final = 0.5
"""A pause of a voice up to this length is no silence, but speech."""
_KNOWN_BYTES: Final = 1600
"""The beginning of a recorded sentence, by which it is known."""
RINGS: Final = "it rings"
AGENT: Final = "the agent"
PERSON: Final = "a person"


@dataclass(slots=True)
class Sound:
    """Something that the caller heard; times are in seconds since what was broken, or since the call began."""

    at: float
    ends: float
    what: str


def heard(call: telnyx.Call | twilio.Call, since: float, until: float) -> list[Sound]:
    """Return what the caller heard between two times of the monotonic clock, in order."""
    rung = min(call.answered_at or until, until)
    found = [Sound(0.0, rung - since, RINGS)] if rung > since else []
    spoken = _spoken(call)
    for segment in call.phone.heard:
        for sound in _sounds(segment, since, until):
            last = found[-1] if found else None
            what = _named(segment.source, sound)
            if segment.source == "carrier":
                what = next(spoken, what) if last is None or not last.what.startswith("“") else last.what
            if last is not None and last.what == what and sound.at - last.ends <= _PAUSE_SECONDS:
                last.ends = max(last.ends, sound.ends)
            else:
                found.append(Sound(sound.at, sound.ends, what))
    return sorted(found, key=lambda sound: sound.at)


def _spoken(call: telnyx.Call | twilio.Call) -> Iterator[str]:
    return (f"“{text}” (the carrier's voice)" for text in call.spoken)


@dataclass(slots=True)
class _Stretch:
    at: float
    ends: float
    audio: bytes


def _sounds(segment: Segment, since: float, until: float) -> Iterator[_Stretch]:
    """Yield the stretches of a segment in which something is heard, pauses of speech included."""
    begin = end = -1
    audio = bytes(segment.audio)
    first = max(0, int((since - segment.at) * 1000) * BYTES_PER_MS)
    last = min(len(audio), int((until - segment.at) * 1000) * BYTES_PER_MS)
    for place in range(first, last, FRAME_BYTES):
        if not is_loud(audio[place : place + FRAME_BYTES]):
            continue
        if begin >= 0 and _seconds(place - end) > _PAUSE_SECONDS:
            yield _stretch(segment, since, begin, end)
            begin = -1
        begin = place if begin < 0 else begin
        end = min(place + FRAME_BYTES, last)
    if begin >= 0:
        yield _stretch(segment, since, begin, end)


def _stretch(segment: Segment, since: float, begin: int, end: int) -> _Stretch:
    at = segment.at - since
    return _Stretch(max(at + _seconds(begin), 0.0), at + _seconds(end), bytes(segment.audio[begin:end]))


def _seconds(count: int) -> float:
    return count / BYTES_PER_MS / 1000


def _named(source: str, sound: _Stretch) -> str:
    if source.startswith("from "):
        return PERSON
    if source != "media":
        return {"ringing": RINGS, "hold": "music"}.get(source, source)
    for clip in _CLIPS.values():
        if _inside(clip.audio) in sound.audio:
            return f"“{clip.text}” (recorded)"
    return AGENT


def _inside(audio: bytes) -> bytes:
    """Return a piece of a recording from where it is loud."""
    start = next((at for at in range(0, len(audio), FRAME_BYTES) if is_loud(audio[at : at + FRAME_BYTES])), 0)
    return audio[start + FRAME_BYTES : start + FRAME_BYTES + _KNOWN_BYTES]


_CLIPS: Final[Mapping[str, clips.Clip]] = clips.load("en")


def longest_silence(sounds: Sequence[Sound], until: float) -> float:
    """Return the longest time in which nothing was heard, from 0 to `until`, in seconds."""
    longest, heard_to = 0.0, 0.0
    for sound in sorted(sounds, key=lambda one: one.at):
        longest = max(longest, sound.at - heard_to)
        heard_to = max(heard_to, sound.ends)
    return max(longest, until - heard_to, 0.0)
