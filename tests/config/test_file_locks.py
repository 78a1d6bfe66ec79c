"""Files that are held against other processes: each by one, and let go of when it is closed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from callflow.config import file_locks
from callflow.config.file_locks import hold


@contextmanager
def opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | (0 if path.is_dir() else os.O_CREAT))
    try:
        yield file
    finally:
        os.close(file)


@pytest.mark.parametrize("name", ["file", ""])
def test_one_holds_a_file_or_a_folder_until_it_is_closed(name: str, tmp_path: Path) -> None:
    with opened(tmp_path / name) as other:
        with opened(tmp_path / name) as one:
            assert hold(one)
            assert hold(one), "it has it already"
            assert not hold(other)
            assert not hold(other, -1.0)
        assert hold(other)


def test_whoever_waits_gets_it_as_soon_as_it_is_free_and_gives_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, slept = [100.0], list[float]()
    one = os.open(tmp_path / "file", os.O_CREAT)
    closes = [3]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        closes[0] -= 1
        if not closes[0]:
            os.close(one)

    monkeypatch.setattr(file_locks, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with opened(tmp_path / "file") as other:
        assert hold(one)
        assert hold(other, 1.0)
        assert len(slept) == 3
        with opened(tmp_path / "file") as late:
            closes[0] = 10**6
            assert not hold(late, 0.1)
            assert 10 <= len(slept) - 3 <= 12


def test_where_a_system_has_no_such_locks_one_process_serves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_locks, "_CAN_HOLD", False)
    assert hold(-1)


def test_a_descriptor_that_is_none_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        hold(10**6)
