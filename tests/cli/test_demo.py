"""The demo: a whole call on one machine, and what it says when that does not work."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import wave
from array import array
from pathlib import Path

import pytest

import server
from callflow.app import Line
from callflow.cli import demo, demo_story
from callflow.cli.demo_scenarios import SCENARIOS
from callflow.media.g711 import pcm16_to_ulaw, ulaw_to_pcm16
from callflow.sandbox import voices
from callflow.sandbox.phone import loud_bytes
from callflow.sandbox.realtime import Realtime, Script
from callflow.settings import Settings
from tests.e2e.house import run


ROOT = Path(__file__).parents[2]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TELNYX_", "TWILIO_"))
    }
    return subprocess.Popen(
        [sys.executable, str(ROOT / "server.py"), "demo", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def record_44100_stereo(path: Path, ulaw: bytes) -> None:
    """A caller's words as a sound card records them: 44.1 kHz, both channels."""
    samples = array("h", ulaw_to_pcm16(ulaw))
    count = len(samples) * 44100 // 8000
    mono = [samples[i * 8000 // 44100] for i in range(count)]
    both = array("h", bytes(4 * count))
    both[0::2] = both[1::2] = array("h", mono)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(both.tobytes())


def spoken_seconds(path: Path) -> tuple[float, float]:
    """How long the caller and the agent are to be heard in the recording of a call."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        both = array("h", file.readframes(file.getnframes()))
    caller, agent = (loud_bytes(pcm16_to_ulaw(both[side::2].tobytes())) / 8000 for side in (0, 1))
    return caller, agent


def test_the_demo_plays_a_whole_call_also_with_a_recording_of_ones_own(tmp_path: Path) -> None:
    """About 25 s: the story is told in real time, twice, side by side."""
    recording = tmp_path / "mine.wav"
    record_44100_stereo(recording, voices.load("caller/hours"))
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    plays = {"plain": start(own), "--wav": start(other, "--wav", str(recording), "--out", "calls/call.wav")}
    try:
        told = {name: (*play.communicate(timeout=90), play.returncode) for name, play in plays.items()}
    finally:
        for play in plays.values():
            play.kill()
    for name, (out, err, code) in told.items():
        assert code == 0, f"{name}: exit {code}\n{out}\n{err}"
        assert err == "", f"{name}: {err}"
        assert "answer to first word" in out
        assert "things did not happen" not in out
    assert voices.TEXTS["caller/hours"] in told["plain"][0]
    assert "mine.wav" in told["--wav"][0]
    for path in (own / "demo.wav", other / "calls" / "call.wav"):
        caller, agent = spoken_seconds(path)
        assert caller > 1, f"{path.name}: the caller is heard for {caller:.1f} s"
        assert agent > 3, f"{path.name}: the agent is heard for {agent:.1f} s"


@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
def test_each_scenario_shows_its_story(carrier: str, tmp_path: Path) -> None:
    """About 45 s: told in real time, side by side."""
    options = ("--carrier", carrier)
    plays = {name: start(tmp_path, "--scenario", name, "--out", f"{name}.wav", *options) for name in SCENARIOS}
    try:
        told = {name: (*play.communicate(timeout=120), play.returncode) for name, play in plays.items()}
    finally:
        for play in plays.values():
            play.kill()
    for name, (out, err, code) in told.items():
        assert code == 0, f"{name}: exit {code}\n{out}\n{err}"
        assert "Traceback" not in err, err
        assert "\nno " not in out


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_does_not_happen_fails(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the model is mute, so nothing of any story comes about."""
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 0.8)
    arguments = argparse.Namespace(wav=None, out=tmp_path / "demo.wav", keep=False, scenario=name)

    async def main() -> int:
        async with Realtime(script=Script.silent()) as mute:

            def open_line(settings: Settings) -> Line:
                return Line(settings.model_copy(update={"openai_realtime_url": mute.url}))

            code: int = await demo.run(arguments, open_line)
            return code

    assert run(main()) == 1
    assert "did not happen as they should" in capsys.readouterr().out


def test_with_a_mute_model_the_demo_fails_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 1.0)
    arguments = argparse.Namespace(wav=None, out=tmp_path / "demo.wav", keep=False)

    async def main() -> int:
        async with Realtime(script=Script.silent()) as mute:

            def open_line(settings: Settings) -> Line:
                return Line(settings.model_copy(update={"openai_realtime_url": mute.url}))

            code: int = await demo.run(arguments, open_line)
            return code

    assert run(main()) == 1
    out = capsys.readouterr().out
    missing = [line.strip() for line in out.splitlines() if line.startswith("no ")]
    assert any("heard 0.00 s instead of 1 s" in line for line in missing), out
    assert any("both voices" in line for line in missing), out
    assert "did not happen as they should" in out


@pytest.mark.parametrize("what", ["missing", "text", "empty", "a folder"])
def test_an_unreadable_recording_is_refused_in_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.wav"
    match what:
        case "text":
            path.write_text("This is not a recording.")
        case "empty":
            record_44100_stereo(path, b"")
        case "a folder":
            path.mkdir()
    assert server.main(["demo", "--wav", str(path), "--out", str(tmp_path / "demo.wav")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert "mine.wav" in said.err


def test_a_place_that_cannot_be_written_is_refused_before_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert server.main(["demo", "--out", str(tmp_path / "file" / "demo.wav")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "--out" in said.err
