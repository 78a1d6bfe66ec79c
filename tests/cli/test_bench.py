"""`bench`: what it measures, and what it says instead when it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import server
from callflow.cli.bench import subjects


ROOT = Path(__file__).parents[2]


def start(folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "server.py"), "bench", *words],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--calls", "0"),
        ("--calls", "-1"),
        ("--calls", "x"),
        ("--calls", "1.5"),
        ("--calls", "9" * 5000),
        ("--calls", "5001"),
        ("--calls", ""),
        ("--seconds", "0"),
        ("--seconds", "-1"),
        ("--seconds", "x"),
        ("--seconds", "nan"),
        ("--seconds", "inf"),
        ("--recorded", "-1"),
        ("--recorded", "many"),
        ("--json", ""),
        ("--json",),
        ("--only", "nothing"),
        ("--jsn", "x"),
        ("more",),
    ],
)
def test_odd_words_are_refused_in_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        server.main(["bench", *words])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err


def _folder(path: Path) -> None:
    path.mkdir()


def _file_for_folder(path: Path) -> None:
    path.parent.write_text("")


def _is_there(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")


@pytest.mark.parametrize("prepare", [_folder, _file_for_folder, _is_there])
def test_a_file_for_the_figures_that_cannot_be_written_is_told_before_the_run(
    prepare: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path if prepare is _folder else tmp_path / "x" / "figures.json"
    if prepare is not _folder:
        prepare(path)
    assert server.main(["bench", "--json", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--json" in said.err
    assert said.err.count("\n") == 1
    assert prepare is not _is_there or path.read_text() == "mine"


def test_more_calls_than_the_system_has_files_for_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    assert server.main(["bench", "--calls", "500"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "at most 200 with --calls" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.proof
@pytest.mark.process
def test_all_are_measured_in_one_run_with_the_settings_that_everybody_has_and_their_ratio_is_told(
    tmp_path: Path,
) -> None:
    """What is set for the owner's server would open a tunnel, fill his history, or keep it from starting."""
    (tmp_path / ".env").write_text("HOST=nowhere.invalid\n")
    own = {"DRAIN": "nonsense", "PUBLIC": "true", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    names = ("callflow", "twilio", "naive", "splice")
    only = [word for name in names for word in ("--only", name)]
    words = ("--calls", "3", "--seconds", "2", "--recorded", "0", "--json", "sub/figures.json", *only)
    with start(tmp_path, *words, **own) as process:
        out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, ""), out
    figures = json.loads((tmp_path / "sub" / "figures.json").read_text())
    assert figures["calls"] == 3
    assert set(figures["others"]) == set(names[1:])
    for each in (figures, *figures["others"].values()):
        assert each["frames"] > 0
        assert (each["frames_lost"], each["frames_out_of_order"]) == (0, 0)
        assert each["cpu_ms_per_short_call"] > 0
        ways = (each["caller_to_model_ms"], each["model_to_caller_ms"])
        assert each["p99_within_10_ms"] == all(way["p99"] <= 10 for way in ways), "calls per core hold for that alone"
    assert len(re.findall(r"p99 within 10 ms( +(yes|NO)){4}", out)) == 1, out
    assert figures["others"]["splice"]["calls_per_core"] > figures["calls_per_core"], (
        "nothing is cheaper than the limit"
    )
    assert figures["ratios"]["calls_per_core_to_naive"] > 0.2  # the sample is small, and other tests run beside it


def test_a_server_that_does_not_start_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit('no server today')")
    monkeypatch.setattr(subjects, "ROOT", tmp_path)
    assert server.main(["bench", "--calls", "1", "--seconds", "2", "--recorded", "0"]) == 1
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert err.splitlines() == ["no server today", "The server ended before it was ready, for the reason above."]


@pytest.mark.proof
@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_it_and_its_server_at_once(number: signal.Signals, tmp_path: Path) -> None:
    with start(tmp_path, "--calls", "2", "--seconds", "60", "--recorded", "0") as process:
        assert process.stdout is not None
        try:
            assert "2 calls" in process.stdout.readline()
            program = psutil.Process(process.pid)
            while not (children := program.children()):
                assert process.poll() is None
            process.send_signal(number)
            _, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err == "Stopped: there are no figures.\n"
    assert not psutil.wait_procs(children, timeout=5)[1], "its server has ended, too"
