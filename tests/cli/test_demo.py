"""The demo: a whole call on one machine, and what it says when that does not work."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import signal
import subprocess
import sys
import time
import wave
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy
import pytest
import soundfile
import soxr

import server
from callflow.app import Application
from callflow.cli.demo import demo
from callflow.cli.demo import story as demo_story
from callflow.cli.demo import wav as recording
from callflow.cli.demo.scenarios import SCENARIOS
from callflow.cli.terminal import Screen
from callflow.config.settings import Settings
from callflow.media.g711 import pcm16_to_ulaw, ulaw_to_pcm16
from callflow.sandbox import voices
from callflow.sandbox.common.phone import loud_bytes
from callflow.sandbox.openai_realtime import Realtime, Script
from tests.e2e.product import run


ROOT = Path(__file__).parents[2]
SAMPLE: Final = {"telnyx": ["tools", "voicemail"], "twilio": ["outbound"]}
MORE: Final = {"telnyx": ["silence", "outbound"], "twilio": ["engine-drop"]}
"""In CI."""
STORY_LINE: Final = re.compile(r" *\d+\.\d\d s  (agent|caller|callee|line|interrupted) ")


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


@pytest.mark.proof
@pytest.mark.process
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


@pytest.mark.proof
@pytest.mark.process
@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
def test_each_scenario_shows_its_story(carrier: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """About 45 s: told in real time, side by side. test_picture.py plays those that README names, test_no_secret.py
    the keypad's; all are played over both carriers with --long."""
    options = ("--carrier", carrier)
    chosen = list(SCENARIOS) if pytestconfig.getoption("--long") else SAMPLE[carrier]
    if os.environ.get("CI") == "true":
        chosen = list(dict.fromkeys([*chosen, *MORE[carrier]]))
    plays = {name: start(tmp_path, "--scenario", name, "--out", f"{name}.wav", *options) for name in chosen}
    try:
        told = {name: (*play.communicate(timeout=120), play.returncode) for name, play in plays.items()}
    finally:
        for play in plays.values():
            play.kill()
    for name, (out, err, code) in told.items():
        assert code == 0, f"{name}: exit {code}\n{out}\n{err}"
        assert err == "", f"{name}: {err}"
        assert "\nno " not in out
        story = out[: out.index("\nyes ")].splitlines()[1:]
        assert [line for line in story if line and not STORY_LINE.match(line)] == [], name
        assert ("has warned in its log" in out) >= (name in ("tools", "engine-drop")), out


@pytest.mark.e2e
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_does_not_happen_fails(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the model is mute, so nothing of any story comes about."""
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 0.8)
    arguments = argparse.Namespace(wav=None, out=tmp_path / "demo.wav", keep=False, scenario=name)

    async def main() -> int:
        async with Realtime(script=Script.silent()) as mute:

            def open_line(settings: Settings) -> Application:
                return Application(settings.model_copy(update={"openai_realtime_url": mute.url}))

            code: int = await demo.run(arguments, open_line)
            return code

    assert run(main()) == 1
    assert "did not happen as they should" in capsys.readouterr().out


@pytest.mark.e2e
def test_a_dial_that_the_server_refuses_is_told_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "demo.svg"
    arguments = argparse.Namespace(
        wav=None, out=tmp_path / "demo.wav", picture=picture, keep=False, scenario="outbound", carrier="twilio"
    )

    def open_line(settings: Settings) -> Application:
        return Application(settings.model_copy(update={"twilio_from_number": ""}))

    assert run(demo.run(arguments, open_line)) == 1
    assert "set TWILIO_FROM_NUMBER" in capsys.readouterr().out
    assert (tmp_path / "demo.wav").exists()


def mute_call(out: Path | None) -> int:
    """The demo with a model that says nothing, so that nothing of its story comes about."""
    arguments = argparse.Namespace(wav=None, out=out, keep=False)

    async def main() -> int:
        async with Realtime(script=Script.silent()) as mute:

            def open_line(settings: Settings) -> Application:
                return Application(settings.model_copy(update={"openai_realtime_url": mute.url}))

            code: int = await demo.run(arguments, open_line)
            return code

    return run(main())


@pytest.mark.e2e
def test_with_a_mute_model_the_demo_fails_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 1.0)
    assert mute_call(tmp_path / "demo.wav") == 1
    out = capsys.readouterr().out
    missing = [line.strip() for line in out.splitlines() if line.startswith("no ")]
    assert any("heard 0.00 s instead of 1 s" in line for line in missing), out
    assert any("both voices" in line for line in missing), out
    assert "did not happen as they should" in out


VOICE: Final = numpy.asarray(array("h", ulaw_to_pcm16(voices.load("caller/hours"))), dtype="float32") / 32768


def write(path: Path, sound: Any, rate: int = 8000, **form: Any) -> None:
    soundfile.write(path, sound, rate, **form)


def faded(path: Path) -> None:
    write(path, VOICE * 0.005)


def damaged(path: Path) -> None:
    write(path, VOICE)
    path.write_bytes(path.read_bytes()[:20])


def damaged_mp3(path: Path) -> None:
    """What libmpg123 complains of, on standard error, by itself."""
    path.write_bytes(b"\xff\xfb\x90\x00" + bytes(300))


UNUSABLE: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "missing.wav": (lambda path: None, "does not exist"),
    "folder.wav": (Path.mkdir, "is a folder"),
    "empty.wav": (Path.touch, "is empty"),
    "text.wav": (lambda path: path.write_text("This is not a recording."), "no sound file"),
    "notes.txt": (lambda path: path.write_text("hi"), "no sound file"),
    "noise.mp3": (lambda path: path.write_bytes(bytes(range(256)) * 40), "no sound file"),
    "text.mp3": (lambda path: path.write_text("text " * 2000), "no sound file"),
    "damaged.mp3": (damaged_mp3, "no sound file"),
    "damaged.wav": (damaged, "no sound file"),
    "without-samples.wav": (lambda path: write(path, VOICE[:0]), "holds no voice"),
    "silent.wav": (lambda path: write(path, VOICE * 0), "holds no voice"),
    "faded.wav": (faded, "holds no voice"),
    "click.wav": (lambda path: write(path, VOICE[8000:8200]), "holds no voice"),
    "not-a-number.wav": (lambda path: write(path, VOICE * float("nan"), subtype="FLOAT"), "holds no voice"),
    "pipe.wav": (os.mkfifo, "is not a file"),
    "x" * 300: (lambda path: None, "cannot be read"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_recording_that_is_no_voice_is_refused_in_one_line_before_the_call(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, told = UNUSABLE[name]
    path = tmp_path / name
    make(path)
    assert server.main(["demo", "--wav", str(path), "--out", str(tmp_path / "demo.wav")]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert told in said.err
    assert name in said.err
    assert "give a" in said.err
    assert not (tmp_path / "demo.wav").exists()


def test_without_the_package_that_reads_sound_files_the_demo_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "find_spec", lambda name: None)
    path = tmp_path / "mine.wav"
    write(path, VOICE)
    assert server.main(["demo", "--wav", str(path), "--out", str(tmp_path / "demo.wav")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "scripts/setup wav" in said.err
    assert not (tmp_path / "demo.wav").exists()


def stereo(left: Any, right: Any) -> Any:
    return numpy.stack([left, right], axis=1)


def resampled(rate: int) -> Any:
    return soxr.resample(VOICE, 8000, rate)


USABLE: Final[dict[str, Callable[[Path], object]]] = {
    "24-bit.wav": lambda path: write(path, VOICE, subtype="PCM_24"),
    "8-bit.wav": lambda path: write(path, VOICE, subtype="PCM_U8"),
    "float.wav": lambda path: write(path, VOICE, subtype="FLOAT"),
    "ulaw.wav": lambda path: write(path, VOICE, subtype="ULAW"),
    "48kHz.wav": lambda path: write(path, resampled(48000), 48000),
    "192kHz.wav": lambda path: write(path, resampled(192000), 192000),
    "stereo.wav": lambda path: write(path, stereo(VOICE, VOICE)),
    "left.wav": lambda path: write(path, stereo(VOICE, VOICE * 0)),
    "turned-round.wav": lambda path: write(path, stereo(VOICE, -VOICE)),
    "late.wav": lambda path: write(path, numpy.concatenate([numpy.zeros(8000 * 45, "float32"), VOICE])),
    "early.wav": lambda path: write(path, numpy.concatenate([VOICE, numpy.zeros(8000 * 45, "float32")])),
    "voice.flac": lambda path: write(path, VOICE),
    "voice.ogg": lambda path: write(path, VOICE),
    "voice.mp3": lambda path: write(path, resampled(48000), 48000),
    "without-an-ending": lambda path: write(path, VOICE, format="WAV"),
}


@pytest.mark.parametrize("name", USABLE)
def test_the_voice_of_any_sound_file_is_used(name: str, tmp_path: Path) -> None:
    USABLE[name](tmp_path / name)
    audio = recording.load(tmp_path / name)
    expected = loud_bytes(voices.load("caller/hours"))
    assert abs(loud_bytes(audio) - expected) < 0.25 * expected
    assert len(audio) < len(VOICE) + 8000, "silence around it is left out"


@pytest.mark.exhaustive
def test_of_an_hour_the_first_seconds_are_used(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8000, 1) as file:
        for _ in range(3600 * 8000 // len(VOICE)):
            file.write(VOICE)
    began = time.monotonic()
    audio = recording.load(tmp_path / "hour.wav")
    assert len(audio) <= recording.SECONDS * 8000
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("file/demo.wav", "is a file, not a folder"),
        ("folder", "is a folder"),
        ("mine.wav", "is there already"),
        ("call.mp3", "does not end in .wav"),
        ("x" * 300 + ".wav", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_call(
    out: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.wav").write_text("mine")
    assert server.main(["demo", "--out", str(tmp_path / out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert told in said.err
    assert "--out" in said.err
    assert (tmp_path / "mine.wav").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ("--scenario", "nonsense"),
        ("--scenario", ""),
        ("--carrier", "vonage"),
        ("--wav", ""),
        ("--out", " "),
        ("--wav", "x.wav", "--scenario", "tools"),
        ("nonsense",),
    ],
)
def test_odd_words_are_refused_in_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        server.main(["demo", *words])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


@pytest.mark.e2e
def test_the_recordings_lie_where_the_command_was_started_and_overwrite_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.wav").write_text("mine")
    for number in (2, 3):
        assert mute_call(None) == 1
        assert f"The call as a stereo recording: {tmp_path / f'demo-{number}.wav'}" in capsys.readouterr().out
    assert (tmp_path / "demo.wav").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-2.wav", "demo-3.wav", "demo.wav"]


@pytest.mark.e2e
def test_a_recording_that_cannot_be_kept_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_story, "_STEP_SECONDS", 0.5)

    def full(content: bytes, path: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("callflow.cli.output_file.keep", full)
    assert mute_call(tmp_path / "demo.wav") == 1
    out = capsys.readouterr().out
    assert "No space left on device" in out
    assert "as a stereo recording" not in out


@pytest.mark.process
def test_ctrl_c_ends_it_in_one_line(tmp_path: Path) -> None:
    with start(tmp_path) as play:
        assert play.stdout is not None
        try:
            while "streaming" not in play.stdout.readline():
                assert play.poll() is None
            play.send_signal(signal.SIGINT)
            _, err = play.communicate(timeout=15)
        finally:
            play.kill()
    assert play.returncode == 130
    assert err == "Stopped before the call had ended: it is not recorded.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_nobody_who_reads_on_ends_it_without_a_word(tmp_path: Path) -> None:
    with start(tmp_path) as play:
        assert play.stdout is not None
        try:
            play.stdout.readline()
            play.stdout.close()
            assert play.wait(timeout=15) == 141
            assert play.stderr is not None
            assert play.stderr.read() == ""
        finally:
            play.kill()


def test_what_the_server_warns_of_is_kept_for_the_end_of_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    tell = demo.DemoReporter(Screen(highlight=False, soft_wrap=True, width=40))
    logger = logging.getLogger("callflow.test")
    logging.getLogger().addHandler(tell)
    try:
        logger.info("not told")
        for _ in range(2):
            logger.warning("call 4ca8b7fa-1e1f-5b44: the engine refused the connection: HTTP %d", 503)
    finally:
        logging.getLogger().removeHandler(tell)
    assert capsys.readouterr() == ("", "")
    assert tell.warnings() == ["the engine refused the connection: HTTP 503"]
    assert tell.warnings() == []
