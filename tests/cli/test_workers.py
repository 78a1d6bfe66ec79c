"""The main process of workers, with a worker that does not do what it is told. The real ones: tests/e2e."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import pytest

from callflow.app import Application
from callflow.cli import workers as module
from callflow.cli.worker import tell_goodbye
from callflow.config.kept_profiles import KeptProfile
from callflow.config.loader import load
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import CallConfigs
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
        (name,), (line, _) = beside, socket.socketpair()
        self._workers[process.pid] = module._Worker(name, index, process, line, time.monotonic(), "")


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


def test_a_worker_tells_of_a_longer_goodbye_that_only_it_knows_of(tmp_path: Path) -> None:
    """Of a profile of the database, or of one call: it was killed before the caller had heard it."""
    settings = load({"data_dir": str(tmp_path), "database_url": ""}, toml=None, env_file=None)
    configs = CallConfigs(settings, Account())
    profile = KeptProfile("slow", ("+15550100002",), {"farewell_seconds": 90.0})
    configs.rules = configs.rules_under({}, [profile])
    with socket.create_server(("127.0.0.1", 0)) as public:
        main = module.Workers(settings, {}, public, None)
        ours, theirs = socket.socketpair()
        gone = subprocess.Popen([sys.executable, "-c", "pass"])
        gone.wait()
        main._workers[gone.pid] = worker = module._Worker("w1", 0, gone, ours, time.monotonic(), "")
        main._on_signal()
        for calls, most in ((list[float](), 90), ([120.0], 120)):
            live = [SimpleNamespace(config=SimpleNamespace(deadline_seconds={"farewell": each})) for each in calls]
            board = SimpleNamespace(calls=live)
            tell_goodbye(theirs, cast(Application, SimpleNamespace(configs=configs, switchboard=board)))
            main._wait()
            assert main._end_at - time.monotonic() > 2 * settings.drain_seconds + most
        theirs.close()
        main._wait()
        assert not worker.says_more, "it would ask again and again"
        tell_goodbye(theirs, cast(Application, SimpleNamespace(configs=configs, switchboard=board)))
        ours.close()
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
