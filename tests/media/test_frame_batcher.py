"""Joined: every byte arrives, in order, and nothing waits for company that does not come."""

from __future__ import annotations

import asyncio
import base64
import time

from callflow.media.frame_batcher import FrameBatcher
from tests.e2e.talk import noise


def passed(frames: list[bytes], *, batch_ms: int = 0, warm_up_ms: int = 0) -> tuple[list[bytes], float]:
    """What is appended, and how long the last of it took."""

    async def main() -> tuple[list[bytes], float]:
        sent: list[str] = []
        joiner = FrameBatcher(
            batch_ms=batch_ms, warm_up_ms=warm_up_ms, append=lambda payload, audio: sent.append(payload)
        )
        for frame in frames:
            joiner.add(frame)
        began = time.monotonic()
        async with asyncio.timeout(2):
            while sum(len(base64.b64decode(each)) for each in sent) < sum(map(len, frames)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return [base64.b64decode(each) for each in sent], time.monotonic() - began

    return asyncio.run(main())


FRAMES = [noise(20, seed) for seed in range(13)]


def test_joined_frames_are_the_same_bytes_in_the_same_order() -> None:
    audio, waited = passed(FRAMES, batch_ms=60)
    assert [len(each) // 160 for each in audio] == [3, 3, 3, 3, 1]
    assert b"".join(audio) == b"".join(FRAMES)
    assert waited < 0.3, "what is left over waits no longer than 100 ms"


def test_the_beginning_is_kept_back_until_there_is_enough_of_it() -> None:
    audio, _ = passed(FRAMES, warm_up_ms=150)
    assert [len(each) // 160 for each in audio] == [8, 1, 1, 1, 1, 1]
    assert b"".join(audio) == b"".join(FRAMES)


def test_a_beginning_that_breaks_off_is_passed_on_all_the_same() -> None:
    audio, waited = passed(FRAMES[:2], warm_up_ms=150)
    assert b"".join(audio) == b"".join(FRAMES[:2])
    assert waited < 0.6
