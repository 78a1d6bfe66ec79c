"""Runs the tests of one kind in so many parts side by side: `python -m tests.parts fast 8 [options of pytest]`.

What all of them need is loaded once: each part is a fork of the process that has it. What they print comes part by
part.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final, NoReturn

import pytest


_SHARED: Final = (
    "callflow.__main__", "callflow.app", "callflow.sandbox.openai_realtime", "callflow.sandbox.telnyx",
    "callflow.sandbox.twilio", "hypothesis.strategies", "respx", "sqlalchemy.dialects.sqlite",
)  # fmt: skip
_NO_TESTS: Final = 5
"""What pytest returns for a part without tests."""


def _load() -> None:
    # pytest's own way to load its plug-ins and tests/conftest.py, of a file without tests.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        pytest.main(["-p", "no:cacheprovider", "--collect-only", "tests/ports.py"])
    for name in _SHARED:
        importlib.import_module(name)


def _run(kind: str, part: str, options: list[str], told: Path) -> NoReturn:
    """Run one part, K/N, in this process, and end it. What it prints goes to that file."""
    number, code = part.partition("/")[0], 1
    try:
        with told.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ["COVERAGE_FILE"] = f".coverage.{kind}{number}"
        cache = [] if "no:cacheprovider" in options else ["-o", f"cache_dir=.pytest_cache/{kind}{number}"]
        code = int(pytest.main(["-q", f"--{kind}", "--part", part, *cache, *options]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(kind: str, parts: int, options: list[str]) -> int:
    """Return 0 when every part has passed, else what one of those returned that have not."""
    if not any(option.startswith("--cov") for option in options):  # what is loaded before a measurement is not measured
        _load()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        running: dict[int, int] = {}
        for number in range(1, parts + 1):
            if (process := os.fork()) == 0:
                _run(kind, f"{number}/{parts}", options, Path(folder) / str(number))
            running[number] = process
        for number, process in running.items():
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            failed = failed if code in (0, _NO_TESTS) else code
            print(f"part {number} of {parts}:\n{(Path(folder) / str(number)).read_text()}", end="", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
