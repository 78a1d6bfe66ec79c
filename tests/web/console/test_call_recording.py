"""The recording of one call over HTTP: whole or in part, one part of a call at a time."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from callflow.journal.notes import Began, Ended, Recording
from callflow.media.call_recorder import header, interleaved
from tests.web.console.stage import CALL, Stage, play


SOUND = bytes(range(256)) * 4
PATH = f"/api/calls/{CALL}/recording"


async def recorded(the: Stage, *, over: bool = True) -> None:
    the.history.recordings.mkdir()
    (the.history.recordings / f"{CALL}.wav").write_bytes(SOUND)
    (the.history.recordings / f"{CALL}-2.wav").write_bytes(b"second")
    end = [Ended(cause="hangup")] if over else []
    await the.write(
        Began(carrier="telnyx"), Recording(file=f"{CALL}.wav,{CALL}-2.wav,{CALL}-3.wav", announced=False), *end
    )


def test_a_recording_is_answered_whole_and_each_part_by_its_number(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await recorded(the)
        whole = await the.get(PATH)
        assert (whole.status, whole.body) == (200, SOUND)
        assert whole.headers["cache-control"] == "private, max-age=600"
        assert (await the.get(f"{PATH}?part=2")).body == b"second"
        for part in ("0", "3", "4"):
            assert (await the.get(f"{PATH}?part={part}")).status == 404, part
        assert (await the.get(f"{PATH}?part=x")).status == 400

    play(tmp_path, main)


@pytest.mark.parametrize(
    ("span", "status", "body"),
    [("bytes=0-9", 206, SOUND[:10]), ("bytes=1000-", 206, SOUND[1000:]), ("bytes=-5", 206, SOUND[-5:]),
     ("bytes=9999-", 416, None), ("frames=0-9", 200, SOUND)],
)  # fmt: skip
def test_a_part_of_the_bytes_can_be_had(tmp_path: Path, span: str, status: int, body: bytes | None) -> None:
    async def main(the: Stage) -> None:
        await recorded(the)
        answer = await the.get(PATH, range=span)
        assert answer.status == status
        assert body is None or answer.body == body

    play(tmp_path, main)


def test_no_file_is_looked_at_on_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each download asked for the state of the file seven times there; a slow disk held up the audio of all calls."""
    on_the_loop: list[str] = []
    ask, loop = os.stat, threading.get_ident()

    def noting(path: Any, *given: Any, **more: Any) -> os.stat_result:
        if threading.get_ident() == loop:
            on_the_loop.append(str(path))
        return ask(path, *given, **more)

    async def main(the: Stage) -> None:
        await recorded(the)
        await the.get("/api/calls/nobody/recording")
        monkeypatch.setattr(os, "stat", noting)
        for path, span in ((PATH, "bytes=0-9"), (PATH, "bytes=9999-"), (f"{PATH}?part=3", ""), (f"{PATH}/peaks", "")):
            assert (await the.get(path, **({"range": span} if span else {}))).status in (206, 404, 416)
        assert (await the.get(f"/api/recordings/{CALL}-1/audio")).status == 200
        monkeypatch.undo()
        assert on_the_loop == []

    play(tmp_path, main)


def test_what_is_kept_of_a_recording_is_not_sent_again(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await recorded(the)
        first = await the.get(PATH)
        for asked in ({"if_none_match": first.headers["etag"]}, {"if_modified_since": first.headers["last-modified"]}):
            again = await the.get(PATH, **asked)
            assert (again.status, again.body) == (304, b""), asked
        assert (await the.get(PATH, if_match='"another"')).status == 412
        (the.history.recordings / f"{CALL}.wav").write_bytes(SOUND * 2)
        assert (await the.get(PATH, if_none_match=first.headers["etag"])).body == SOUND * 2

    play(tmp_path, main)


def test_a_recording_that_still_grows_is_kept_by_no_cache(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await recorded(the, over=False)
        assert (await the.get(PATH)).headers["cache-control"] == "private, no-store"

    play(tmp_path, main)


def test_a_call_without_one_and_a_history_that_is_not_open(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        assert (await the.get(PATH)).status == 404
        assert (await the.get("/api/calls/nobody/recording")).status == 404

    play(tmp_path, main)

    async def closed(the: Stage) -> None:
        assert (await the.get(PATH)).status == 503

    play(tmp_path / "another", closed, opened=False)


def test_how_loud_a_recording_is_can_be_asked_for_from_some_point_on(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await recorded(the)
        left, right = bytes(800) + b"\xff" * 100, b"\xff" * 500 + bytes(400)
        (the.history.recordings / f"{CALL}-2.wav").write_bytes(header(900) + interleaved(left, right))
        answer = await the.get(f"{PATH}/peaks?part=2")
        assert answer.json() == {
            "call": CALL, "part": 2, "seconds": 0.113, "grows": False, "channels": 2, "per_second": 20, "after": 0,
            "peaks": base64.b64encode(bytes([251, 0, 251, 251, 0, 251])).decode(),
        }  # fmt: skip
        assert answer.headers["cache-control"] == "private, max-age=600"
        later = (await the.get(f"{PATH}/peaks?part=2&after=2")).json()
        assert (later["after"], base64.b64decode(later["peaks"])) == (2, bytes([0, 251]))
        assert base64.b64decode((await the.get(f"{PATH}/peaks?part=2&after=9")).json()["peaks"]) == b""
        assert (await the.get(f"{PATH}/peaks")).status == 404, "no WAV file of ours"
        assert (await the.get(f"{PATH}/peaks?part=3")).status == 404
        assert (await the.get(f"{PATH}/peaks?after=x")).status == 400

    play(tmp_path, main)
