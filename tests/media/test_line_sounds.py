"""Music that goes round, and keys that are sent whatever interrupts them."""

from __future__ import annotations

import asyncio

import pytest

from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.media.dtmf_tones import tones
from callflow.media.g711 import BYTES_PER_MS, ULAW_SILENCE
from callflow.media.line_sounds import LineSounds


class Line:
    """A line that plays in no time what is taken from it."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, bytes]] = []
        self.flows, self.pumped = True, 0
        self.came = asyncio.Event()

    def put_sound(self, name: str, audio: bytes) -> str:
        if not self.flows:
            return ""
        self.queued.append((f"{name}:{len(self.queued)}", audio))
        self.came.set()
        return self.queued[-1][0]

    def queued_seconds(self) -> float:
        return sum(len(audio) for _, audio in self.queued) / BYTES_PER_MS / 1000

    def pump(self) -> None:
        self.pumped += 1


def cut(item: str, heard_ms: int) -> Cut:
    return Cut(SpeechSegmentId(item), heard_ms, 10_000)


@pytest.mark.e2e
async def test_music_is_queued_again_before_it_ends_and_no_more_than_that() -> None:
    line = Line()
    sounds = LineSounds(line)
    sounds.play_music(bytes(160))
    line.came.clear()
    await asyncio.wait_for(line.came.wait(), 5)
    assert {audio for _, audio in line.queued} == {bytes(160)}
    line.queued.append(("much", bytes(80_000)))
    line.came.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.came.wait(), 1.2)
    sounds.close()


@pytest.mark.e2e
async def test_a_spoken_clip_has_pauses_and_waits_for_a_stream() -> None:
    line = Line()
    line.flows = False
    sounds = LineSounds(line)
    sounds.play_music(bytes(160), spoken=True)
    assert line.queued == []
    line.flows = True
    await asyncio.wait_for(line.came.wait(), 5)
    ((_, audio),) = line.queued
    assert audio == bytes(160) + bytes([ULAW_SILENCE]) * 64_000
    sounds.stop_music()
    sounds.close()


async def test_keys_that_were_cut_are_sent_to_their_end_and_each_once() -> None:
    line = Line()
    sounds = LineSounds(line)
    sounds.play_keys("123", secret=False)
    ((item, audio),) = line.queued
    assert (audio, line.pumped) == (tones("123"), 1)
    sounds.cut([cut("engine's item", 10), cut(item, 220)])
    assert [audio for _, audio in line.queued] == [tones("123"), tones("23")]
    sounds.heard(line.queued[-1][0])
    sounds.cut([cut(line.queued[-1][0], 400)])
    assert len(line.queued) == 2


async def test_secret_keys_are_not_recorded() -> None:
    line = Line()
    sounds = LineSounds(line)
    sounds.play_keys("1", secret=False)
    sounds.play_keys("2", secret=True)
    (plain, _), (secret, _) = line.queued
    assert sounds.recorded(plain, b"abc") == b"abc"
    assert sounds.recorded(secret, b"abc") == bytes([ULAW_SILENCE]) * 3
    sounds.cut([cut(secret, 0)])
    assert sounds.recorded(line.queued[-1][0], b"abc") == bytes([ULAW_SILENCE]) * 3
    assert sounds.recorded("engine's item", b"abc") == b"abc"
