"""How loud recordings are: looked through once for all who ask, and few at a time."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import pytest

from callflow.contracts.errors import BrokenRecording, Overloaded
from callflow.media import waveform_peaks
from callflow.media.waveform_peaks import PER_SECOND, Peaks
from callflow.web.console.recording_peaks import PeakService, peaks_json


def test_a_long_recording_is_looked_through_once_for_all_who_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        asked: list[Path] = []
        go = threading.Event()

        def slow(path: Path, *, grows: bool) -> Peaks:
            asked.append(path)
            go.wait(10)
            return Peaks(1.0, b"ab")

        monkeypatch.setattr(waveform_peaks, "missing", lambda path: 10**6)
        monkeypatch.setattr(waveform_peaks, "read", slow)
        desk = PeakService()
        one, two = Path("one.wav"), Path("two.wav")
        waiting = [asyncio.create_task(desk.read(path, grows=False)) for path in (one, one, two)]
        while len(asked) < 2:  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded):
            await desk.read(Path("three.wav"), grows=False)
        waiting[0].cancel()
        go.set()
        assert await waiting[1] == await waiting[2] == Peaks(1.0, b"ab")
        assert sorted(asked) == [one, two]
        assert await desk.read(Path("three.wav"), grows=False) == Peaks(1.0, b"ab")

    asyncio.run(main())


def test_what_cannot_be_read_fails_for_those_who_ask_and_is_read_anew_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(path: Path, *, grows: bool) -> Peaks:
        raise BrokenRecording("it breaks off")

    async def main() -> None:
        monkeypatch.setattr(waveform_peaks, "missing", lambda path: 10**6)
        monkeypatch.setattr(waveform_peaks, "read", broken)
        desk, one = PeakService(), Path("one.wav")
        for found in await asyncio.gather(*(desk.read(one, grows=False) for _ in range(3)), return_exceptions=True):
            assert isinstance(found, BrokenRecording)
        monkeypatch.setattr(waveform_peaks, "read", lambda path, *, grows: Peaks(2.0, b"xy"))
        assert await desk.read(one, grows=False) == Peaks(2.0, b"xy")

    asyncio.run(main())


@pytest.mark.parametrize(("missing", "at_once"), [(0, True), (30 * PER_SECOND, True), (30 * PER_SECOND + 1, False)])
def test_what_is_nearly_complete_waits_for_no_other(
    missing: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(waveform_peaks, "missing", lambda path: missing)
        monkeypatch.setattr(waveform_peaks, "read", lambda path, *, grows: Peaks(1.0, b"ab"))
        desk = PeakService()
        busy: asyncio.Future[Peaks] = asyncio.get_running_loop().create_future()
        for number in range(2):
            desk._at_work[Path(f"{number}.wav")] = busy  # type: ignore[assignment]
        if at_once:
            assert await desk.read(Path("one.wav"), grows=True) == Peaks(1.0, b"ab")
        else:
            with pytest.raises(Overloaded):
                await desk.read(Path("one.wav"), grows=True)

    asyncio.run(main())


def test_what_is_answered_begins_behind_what_the_page_has() -> None:
    found = Peaks(1.23456, bytes(range(10)))
    for after, rest in ((0, bytes(range(10))), (2, bytes(range(4, 10))), (5, b""), (10**9, b"")):
        answer = peaks_json("c", 2, found, after, grows=True)
        assert base64.b64decode(answer.pop("peaks")) == rest
        assert answer == {
            "call": "c", "part": 2, "seconds": 1.235, "grows": True, "channels": 2, "per_second": 20, "after": after,
        }  # fmt: skip
