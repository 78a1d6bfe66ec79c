"""`bench --peers`: codes that survive decoding and resampling, and what is said of a peer that cannot be measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr

import server
from callflow.cli.arguments import make_parser
from callflow.cli.bench import coded_frames
from callflow.cli.bench.peers.install import PEERS, Peer, default_folder, prepare
from callflow.contracts.errors import BenchError
from callflow.media.g711 import ulaw_to_pcm16


CHUNKS = 200
CODES = list(range(coded_frames.EVERY, CHUNKS, coded_frames.EVERY))


def sent(call: int) -> bytes:
    """What one caller says: frames 1 to 199."""
    return b"".join(coded_frames.frame(call, chunk) for chunk in range(1, CHUNKS))


@pytest.mark.parametrize("size", [160, 320, 400, 37, 8000])
def test_codes_are_found_however_the_audio_is_cut(size: int) -> None:
    reader, audio = coded_frames.Reader(8000), sent(300)
    found = []
    for start in range(0, len(audio), size):
        found += reader.feed(ulaw_to_pcm16(audio[start : start + size]), start / 8000)
    assert [(call, number * coded_frames.EVERY) for call, number, _ in found] == [(300, chunk) for chunk in CODES]
    # The moment is that of the piece with the beginning of the code.
    assert [round(at * 8000) for _, _, at in found] == [(chunk - 1) * 160 // size * size for chunk in CODES]


def test_codes_are_found_in_resampled_audio() -> None:
    up, down = soxr.ResampleStream(8000, 24000, 1, "int16"), soxr.ResampleStream(24000, 8000, 1, "int16")
    there, back = coded_frames.Reader(24000), coded_frames.Reader(8000)
    reached, returned = [], []
    for start in range(0, len(audio := sent(7) + sent(7)[:1600]), 160):
        samples = up.resample_chunk(np.frombuffer(ulaw_to_pcm16(audio[start : start + 160]), dtype="<i2"))
        reached += there.feed(samples.tobytes(), 0.0)
        returned += back.feed(down.resample_chunk(samples).tobytes(), 0.0)
    for found in (reached, returned):
        assert [(call, number * coded_frames.EVERY) for call, number, _ in found][: len(CODES)] == [
            (7, chunk) for chunk in CODES
        ]


def test_a_number_that_has_begun_anew_is_that_of_the_newest_chunk() -> None:
    assert coded_frames.chunk_of(5, 51) == 50
    assert coded_frames.chunk_of(5, 10_300) == 10_290
    assert coded_frames.chunk_of(1023, 10_300) == 10_230


def test_the_folder_may_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parser = make_parser()
    assert parser.parse_args(["bench"]).peers is None
    assert parser.parse_args(["bench", "--peers"]).peers is True
    assert parser.parse_args(["bench", "--peers", str(tmp_path)]).peers == tmp_path
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "callflow" / "peers"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_folder().is_relative_to(Path.home())


def test_every_peer_has_exact_versions() -> None:
    assert [name for peer in PEERS for name in peer.packages if name.count("==") != 1] == []
    assert [peer.version for peer in PEERS if not peer.version[:1].isdigit()] == []


def _peer(*packages: str) -> Peer:
    return Peer("nobody", "a peer that is not there", "no.such.module", packages, 8000)


@pytest.mark.proof
@pytest.mark.process
async def test_a_package_that_is_not_there_is_told_with_its_reason(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(BenchError, match=r"could not be installed: .*no-such"):
        await prepare(_peer(f"no-such @ file://{tmp_path}/no-such.whl"), tmp_path / "peers", said.append)
    assert [line.split(":")[0] for line in said if line.endswith("…")] == ["nobody", "nobody"]
    assert not (tmp_path / "peers" / "nobody" / "callflow-installed").exists()


async def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    place = tmp_path / "nobody"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    (place / "callflow-installed").write_text("x==1", encoding="utf-8")
    said: list[str] = []
    assert await prepare(_peer("x==1"), tmp_path, said.append) == place / "bin" / "python"
    assert said == []


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="could not be installed: Not a directory"):
        await prepare(_peer("x==1"), tmp_path / "file", lambda line: None)


@pytest.mark.proof
@pytest.mark.process
def test_the_rest_is_measured_although_a_peer_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from callflow.cli.bench import relay

    (tmp_path / "file").touch()
    python = tmp_path / "peers" / "other" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "peers" / "other" / "callflow-installed").write_text("x==1", encoding="utf-8")
    (tmp_path / "peers" / "nobody").touch()
    other = Peer("other", "a peer that does not start", "no.such.module", ("x==1",), 8000)
    monkeypatch.setattr(relay, "PEERS", (_peer("x==1"), other))
    words = ["--calls", "1", "--seconds", "2", "--only", "splice"]
    figures = tmp_path / "figures.json"
    assert server.main(["bench", *words, "--peers", str(tmp_path / "peers"), "--json", str(figures)]) == 0
    said = capsys.readouterr().out
    assert "not measured" in said
    assert "nobody: could not be installed: " in said
    assert "other: The server ended before it was ready" in said
    assert "history" not in said, "that is another program's"
    told = json.loads(figures.read_text(encoding="utf-8"))
    assert set(told["others"]) == {"splice"}
    assert set(told["not_measured"]) == {"nobody", "other"}


@pytest.mark.proof
@pytest.mark.process
def test_nothing_is_installed_for_more_calls_than_a_peer_can_be_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from callflow.cli.bench import coded_frames, relay

    monkeypatch.setattr(relay, "PEERS", (_peer("x==1"),))
    monkeypatch.setattr(coded_frames, "MOST_CALLS", 0)
    words = ["--calls", "1", "--seconds", "1", "--only", "splice", "--peers", str(tmp_path / "peers")]
    assert server.main(["bench", *words]) == 0
    assert "nobody: more than 0 calls cannot be told apart" in capsys.readouterr().out
    assert not (tmp_path / "peers").exists()
