"""The main process of workers, with a worker that does not do what it is told. The real ones: tests/e2e."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from callflow.cli import workers as module
from callflow.config.loader import load
from tests.e2e.process import ROOT


pytestmark = pytest.mark.process
_MAIN: Final = """
import os, socket, subprocess, sys, time
from callflow.cli import workers as module
from callflow.config.settings import Settings

module._END_SECONDS = 0.3
HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('hangs', flush=True); time.sleep(15)"


class Main(module.Workers):
    def _start(self, index, failures, beside):
        process = subprocess.Popen([sys.executable, "-c", HANGS], process_group=0)
        (name,), pipe = beside, os.pipe()[1]
        self._workers[process.pid] = module._Worker(name, index, process, pipe, time.monotonic(), "")


settings = Settings(
    data_dir=sys.argv[1], workers=1, drain_seconds=0.1, farewell_seconds=0.1, transcript_seconds=0, database_url=""
)
sys.exit(Main(settings, {}, socket.create_server(("127.0.0.1", 0)), None).run())
"""


def test_a_worker_is_not_taken_to_hang_while_a_farewell_of_one_of_its_profiles_may_last(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[profiles.sales]\nnumbers = ["+15550100002"]\nfarewell_seconds = 90\n', encoding="utf-8")
    times = {"drain_seconds": 5, "farewell_seconds": 8, "transcript_seconds": 2}
    settings = load({"data_dir": str(tmp_path), "database_url": "", **times}, toml=file, env_file=None)
    with socket.create_server(("127.0.0.1", 0)) as public:
        main = module.Workers(settings, {}, public, None)
        main._on_signal()
        assert main._end_at - time.monotonic() > 2 * 5 + 90 + 2
        main._on_signal()
        assert main._end_at - time.monotonic() <= module._END_SECONDS
        os.close(main._woken)
        os.close(main._wake)


def test_a_worker_that_hangs_is_killed_in_the_end(tmp_path: Path) -> None:
    """It kept the port, so that the next main process could not start, and this one waited for it for ever."""
    main = subprocess.Popen(
        [sys.executable, "-c", _MAIN, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert main.stdout is not None
        assert main.stdout.readline() == "hangs\n"
        main.send_signal(signal.SIGTERM)
        _, told = main.communicate(timeout=10)
        assert (main.returncode, told) == (0, "worker w1 does not end: it is killed\n")
    finally:
        main.kill()
        main.communicate()
