"""`calls CALL --picture`: any call that was recorded, drawn from its journal and its recording."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

import server
from callflow.cli.picture.drawing import COLUMNS, CallPicture, read
from tests.e2e.product import run, until
from tests.e2e.test_survival import SENTENCE, office


def loudest(peaks: str) -> int:
    return max((int(peaks[at : at + 2], 16) for at in range(0, len(peaks), 2)), default=0)


async def drawn(folder: Path, call: str) -> tuple[int, CallPicture | None]:
    out = folder / "call.svg"
    code = await asyncio.to_thread(server.main, ["calls", call, "--picture", str(out)])
    return code, read(out.read_text(encoding="utf-8")) if out.exists() else None


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """In a folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return monkeypatch


def test_a_call_that_outlived_its_server_is_one_picture(
    tmp_path: Path, settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with office(RECORD="true") as one:
            caller = await one.ring()
            await until(lambda: caller.heard_ms > 1500, "the middle of the sentence")
            await one.stop()
            await one.start()
            await caller.hears_again(one.listening_at)
            await caller.call.hang_up()
            await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
            await until(lambda: len(list((one.folder / "recordings").glob("*.wav"))) == 2, "both recordings")
            await one.stop(signal.SIGTERM)
            (row,) = one.rows("SELECT * FROM conversations")
            settings.setenv("DATA_DIR", str(one.folder))
            code, picture = await drawn(tmp_path, row["call_id"][:8])
            assert code == 0, capsys.readouterr().err
            assert picture is not None
            said = [words for each in picture.exchanges for words in each.agent if not words.is_note]
            happened = [words.text for each in picture.exchanges for words in each.agent if words.is_note]
            assert f"{said[0].text} {said[0].unheard}" == SENTENCE
            assert said[0].text.split()
            assert said[0].unheard
            assert "the process died, and another took the call back" in happened
            assert (said[0].cut_at or 0.0) - said[0].at == pytest.approx(said[0].heard_ms / 1000, abs=0.1)
            middle = int((said[0].cut_at or 0.0) / picture.seconds * COLUMNS) * 2
            assert loudest(picture.agent[:middle]) > 30, "what was heard before"
            assert loudest(picture.agent[middle:]) > 30, "and after"
            assert picture.carrier in ("telnyx", "twilio")
            again, _ = await drawn(tmp_path, row["call_id"])
            assert again == 2, "no file is overwritten"

    run(main())
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["never recorded", "deleted", "no recording at all"])
def test_a_call_without_its_recording_is_not_drawn(
    how: str, tmp_path: Path, settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> Any:
        async with office(RECORD="false" if how == "never recorded" else "true") as one:
            caller = await one.ring()
            await until(lambda: caller.heard_ms > 200, "the first words")
            await caller.call.hang_up()
            await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
            await one.stop(signal.SIGTERM)
            for path in (one.folder / "recordings").glob("*.wav"):
                if how == "deleted":
                    path.unlink()
                else:
                    path.write_bytes(b"This is no sound.")
            (row,) = one.rows("SELECT * FROM conversations")
            settings.setenv("DATA_DIR", str(one.folder))
            return await drawn(tmp_path, row["call_id"])

    code, picture = run(main())
    said = capsys.readouterr()
    assert (code, said.out, picture) == (2 if how == "no recording at all" else 1, "", None)
    assert said.err.count("\n") == 1
    assert "cannot be read" in said.err if how == "no recording at all" else "no recording" in said.err


def test_one_call_is_drawn_at_a_time(settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["calls", "--picture", "all.svg"]) == 2
    assert "say which" in capsys.readouterr().err
