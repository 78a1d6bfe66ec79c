"""Tests that are played in several processes: what fails in one is told, and no test is lost with a process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
FILES = {
    "test_passes.py": "def test_one(): pass\ndef test_two(): pass\n",
    "test_fails.py": "def test_three():\n    print('what was printed')\n    assert 3 == 4\n",
    "test_dies.py": "import os\ndef test_four(): os._exit(7)\ndef test_five(): pass\n",
    "test_ends.py": (
        "import pytest\n@pytest.fixture(scope='session')\ndef broken():\n    yield\n"
        "    raise ValueError('at the end')\ndef test_six(broken): pass\n"
    ),
}


def play(folder: Path, *options: str) -> str:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    command += ["--rootdir", str(folder), "-c", str(folder / "pytest.ini"), "--processes", "2", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.process
def test_each_test_is_told_of_once_also_where_a_process_ends(tmp_path: Path) -> None:
    told = play(tmp_path)
    outcomes = re.findall(r"^(PASSED|FAILED) \S+::test_(\w+)", told, re.MULTILINE)
    assert {name for _, name in outcomes} == {"one", "two", "three", "four", "five", "six"}, told
    assert {"three", "four", "five"} <= {name for outcome, name in outcomes if outcome == "FAILED"}, told
    for words in ("what was printed", "assert 3 == 4", "has ended with 7", "no process has played", "at the end"):
        assert words in told, told
    assert "4 failed, 3 passed" in told, told


@pytest.mark.process
def test_nothing_more_is_begun_after_the_first_failure(tmp_path: Path) -> None:
    told = play(tmp_path, "-x", "-k", "three or one or two")
    assert "stopping after 1 failures" in told, told
