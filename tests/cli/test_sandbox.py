"""`sandbox telnyx|twilio|realtime`: started as a user would, stopped by a signal."""

import argparse
import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from callflow.cli import arguments, sandbox


ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from callflow.cli.arguments import parse
from callflow.cli import sandbox
sys.exit(sandbox.run(parse(["sandbox", *sys.argv[1:]])))
"""


def parse(*words: str) -> argparse.Namespace:
    return arguments.parse(["sandbox", *words])


@pytest.mark.parametrize("peer", ["telnyx", "twilio", "realtime"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(peer: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, peer, "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    with process, selectors.DefaultSelector() as selector:
        assert process.stdout
        selector.register(process.stdout, selectors.EVENT_READ)
        try:
            assert selector.select(timeout=30), "it says when it listens"
            assert b"127.0.0.1" in os.read(process.stdout.fileno(), 65536)
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.parametrize("peer", ["telnyx", "twilio", "realtime"])
def test_a_taken_port_is_said_in_one_line(peer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sandbox.run(parse(peer, "--port", str(taken.getsockname()[1]))) == 1
    said = capsys.readouterr().err
    assert said.startswith("The sandbox cannot start: ")
    assert "--port 0" in said
    assert said.count("\n") == 1


def test_only_what_was_given_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def serve(**options: Any) -> Coroutine[Any, Any, None]:
        seen.append(options)
        return asyncio.sleep(0)

    monkeypatch.setattr("callflow.sandbox.telnyx.serve", serve)
    assert sandbox.run(parse("telnyx")) == 0
    assert sandbox.run(parse("telnyx", "--port", "0", "--webhook-url", "http://127.0.0.1:1/w", "--api-key", "k")) == 0
    assert seen == [{}, {"port": 0, "webhook_url": "http://127.0.0.1:1/w", "api_key": "k"}]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["twillio"],
        ["realtime", "--webhook-url", "x"],
        ["telnyx", "--control-port", "1"],
        ["twilio", "--webhook-url", "x"],
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("server.py sandbox")
    assert said.count("\n") == 1
