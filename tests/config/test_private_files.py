"""What Callflow makes is for its owner alone, and what others use as well is left as it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from callflow.call.stream_tokens import StreamTokens
from callflow.config import private_files
from callflow.media.call_recorder import CallRecorder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Started in another folder, by somebody at home in a third, who makes everything readable for all."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def earlier(folder: Path) -> Path:
    """A data folder as an earlier version left it."""
    (folder / "recordings").mkdir(parents=True)
    for name in ("stream.secret", "callflow.db", "left-out.jsonl", "recordings/a.wav"):
        (folder / name).write_bytes(bytes(32))
    return folder


def test_a_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    StreamTokens.in_folder(folder)
    assert mode(folder) == 0o700
    assert mode(folder / "stream.secret") == 0o600
    assert mode(folder.parent) == 0o777, "the way there is somebody else's"


def test_one_that_was_left_open_is_narrowed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = earlier(tmp_path / "data")
    folder.chmod(0o755)
    StreamTokens.in_folder(folder)
    assert {name.relative_to(folder).as_posix(): oct(mode(name)) for name in folder.rglob("*")} == {
        "stream.secret": "0o600", "callflow.db": "0o600", "left-out.jsonl": "0o600",
        "recordings": "0o700", "recordings/a.wav": "0o600",
    }  # fmt: skip
    assert mode(folder) == 0o700


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o770, 0o707, 0o777])
def test_whoever_it_was_open_for(tmp_path: Path, bits: int) -> None:
    folder = earlier(tmp_path / "data")
    folder.chmod(bits)
    private_files.make_ours(folder)
    assert mode(folder) == 0o700


def test_a_folder_that_is_stricter_stays_so(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(0o500)
    private_files.make_ours(folder)
    assert mode(folder) == 0o500


SHARED = {
    "here": "here",
    "above here": ".",
    "a home": "home",
    "one with somebody's folder in it": "shared",
    "one for everybody": "everybody",
}


@pytest.mark.parametrize("name", SHARED)
def test_what_others_use_as_well_stays_open_but_for_our_own_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "shared" / "theirs").mkdir(parents=True)
    (tmp_path / "everybody").mkdir(0o1777)
    (tmp_path / "everybody").chmod(0o1777)
    folder = earlier(tmp_path / SHARED[name])
    (folder / "notes.txt").touch(0o644)
    before = mode(folder)
    StreamTokens.in_folder(folder)
    assert mode(folder) == before
    assert mode(folder / "notes.txt") == 0o644
    assert mode(folder / "stream.secret") == 0o600
    assert mode(folder / "recordings") == 0o700
    assert mode(folder / "recordings" / "a.wav") == 0o600


def test_a_dot_is_the_folder_that_we_are_in(tmp_path: Path) -> None:
    before = mode(tmp_path / "here")
    StreamTokens.in_folder(Path())
    assert mode(tmp_path / "here") == before != 0o700
    assert mode(tmp_path / "here" / "stream.secret") == 0o600


def test_the_root_stays_as_it_is() -> None:
    before = mode(Path("/"))
    private_files._narrow(Path("/"))
    assert mode(Path("/")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_with_files_of_another_user_stays_open(tmp_path: Path) -> None:
    folder = earlier(tmp_path / "data")
    os.chown(folder / "callflow.db", 65534, 65534)
    folder.chmod(0o755)
    private_files.make_ours(folder)
    assert mode(folder) == 0o755
    os.chown(folder, 65534, 65534)
    os.chown(folder / "callflow.db", 0, 0)
    private_files.make_ours(folder)
    assert mode(folder) == 0o755, "it is not ours"


def test_a_file_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(OSError, match="data"):
        private_files.make_ours(tmp_path / "data")


async def test_recordings_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir(0o755)
    (tmp_path / "recordings" / "old.wav").touch(0o644)
    for name in ("recordings/a.wav", "others/b.wav"):
        recorder = CallRecorder(tmp_path / name, lambda: 0.0, print)
        await recorder.close()
        assert mode(tmp_path / name) == 0o600
        assert mode((tmp_path / name).parent) == 0o700
    assert mode(tmp_path / "recordings" / "old.wav") == 0o600
