"""The parts of `scripts/test`, each a process of its own: what fails in one is told, and is the result of all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
TESTS = "tests/test_timers.py"


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "passes", "told"),
    [
        ([], True, "passed"),
        (["--timeout", "0.00001"], False, "Timeout"),
        (["-k", "no_test_has_this_name"], True, "deselected"),
        (["--no-such-option"], False, "unrecognized arguments"),
    ],
)
def test_what_fails_in_a_part_is_told_and_is_the_result(options: list[str], *, passes: bool, told: str) -> None:
    command = [sys.executable, "-m", "tests.parts", "fast", "2", "-p", "no:cacheprovider", TESTS, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode == 0) == passes, done.stdout + done.stderr
    for part in ("part 1 of 2", "part 2 of 2", told):
        assert part in done.stdout, done.stdout + done.stderr
