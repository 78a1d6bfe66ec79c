"""`sandbox telnyx|twilio|realtime`: started as a user would, stopped by a signal."""

import argparse
import asyncio
import inspect
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.cli import arguments, sandbox
from callflow.config.settings import Settings
from callflow.sandbox import openai_realtime, telnyx, twilio
from tests.ports import free_port


ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from callflow.cli.arguments import parse
from callflow.cli import sandbox
sys.exit(sandbox.run(parse(["sandbox", *sys.argv[1:]])))
"""


def parse(*words: str) -> argparse.Namespace:
    return arguments.parse(["sandbox", *words])


@pytest.mark.proof
@pytest.mark.process
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
            told = os.read(process.stdout.fileno(), 65536)
            assert b"127.0.0.1" in told
            assert (b"OPENAI_LIVE_URL=ws://127.0.0.1" in told) == (peer == "realtime")
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.parametrize("peer", ["telnyx", "twilio", "realtime"])
def test_a_taken_port_is_said_in_one_line(peer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sandbox.run(parse(peer, "--port", str(taken.getsockname()[1]))) == 2
    said = capsys.readouterr().err
    assert said.startswith("The sandbox cannot start: ")
    assert "Address already in use" in said
    assert "--port" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["telnyx", "--host", "nowhere.invalid"], "--host"),
        (["twilio", "--host", "203.0.113.7"], "--host"),
        (["realtime", "--port", "6399", "--control-port", "6399"], "--control-port"),
    ],
)
def test_where_it_cannot_listen_is_said_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sandbox.run(parse(*words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("The sandbox cannot start: ")
    assert told in said.err
    assert said.err.count("\n") == 1


def test_a_taken_port_for_the_faults_is_said_before_anything_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sandbox.run(parse("realtime", "--port", "0", "--control-port", str(taken.getsockname()[1]))) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--control-port" in said.err
    assert said.err.count("\n") == 1


def test_what_is_for_a_call_needs_somebody_to_ring(capsys: pytest.CaptureFixture[str]) -> None:
    assert sandbox.run(parse("twilio", "--port", "0", "--from", "+15550100009")) == 2
    assert "--from is for a call that is made: give --target" in capsys.readouterr().err


def test_what_was_given_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def serve(**options: Any) -> Coroutine[Any, Any, None]:
        seen.append(options)
        return asyncio.sleep(0)

    monkeypatch.setattr("callflow.sandbox.telnyx.serve", serve)
    words = ("--port", "0", "--webhook-url", "http://127.0.0.1:1/w", "--api-key", "k")
    assert sandbox.run(parse("telnyx", *words)) == 0
    assert seen == [{"host": "127.0.0.1", "port": 0, "webhook_url": "http://127.0.0.1:1/w", "api_key": "k"}]


def test_the_command_line_and_the_emulators_have_the_same_defaults_and_no_port_twice() -> None:
    """All of them run side by side, next to the server, without a word about ports."""
    taken = {Settings.model_fields[name].default for name in ("port", "console_port")}
    for peer, serve in (("telnyx", telnyx.serve), ("twilio", twilio.serve), ("realtime", openai_realtime.serve)):
        chosen = vars(parse(peer))
        parameters = inspect.signature(serve).parameters
        for name in ("host", "port", "webhook_url", "public_url", "server"):
            if name in chosen:
                assert chosen[name] is None or chosen[name] == parameters[name].default, (peer, name)
        ports = {chosen["port"], chosen["port"] + 1} if peer == "realtime" else {chosen["port"]}
        assert not ports & taken, (peer, ports)
        taken |= ports
    addresses = {inspect.signature(serve).parameters["public_url"].default for serve in (telnyx.serve, twilio.serve)}
    assert len(addresses) == 1, "one server has one public address, which both lead to it"
    assert parse("telnyx").api_key == telnyx.DEFAULT_API_KEY
    assert parse("realtime").api_key == inspect.signature(openai_realtime.serve).parameters["api_key"].default


async def test_the_public_address_that_telnyx_prints_leads_to_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    """The one that Twilio prints as well: a server that is set up for both is reached by both."""
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        if not arrived.done():
            arrived.set_result(head)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks"
    port = free_port()
    async with server, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(10):
        serving = asyncio.create_task(telnyx.serve(port=port, webhook_url=hook))
        told = ""
        while "Ring:" not in told:
            await asyncio.sleep(0.01)
            told += capsys.readouterr().out
        assert "PUBLIC_BASE_URL=https://phone.example\n" in told
        await client.post("/sandbox/ring", json={"from": "+15550100001", "to": "+15550100002"})
        head = (await arrived).decode().lower()
        assert head.startswith("post /webhooks "), head
        assert "host: phone.example\r\n" in head, head
        listed = await client.get(
            "/v2/call_control_applications", headers={"Authorization": f"Bearer {telnyx.DEFAULT_API_KEY}"}
        )
        assert [each["webhook_event_url"] for each in listed.json()["data"]] == ["https://phone.example/webhooks"]
        serving.cancel()
        await asyncio.wait([serving])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["twillio"],
        ["realtime", "--webhook-url", "x"],
        ["telnyx", "--control-port", "1"],
        ["twilio", "--webhook-url", "x"],
        *(
            [peer, "--port", port]
            for peer in ("telnyx", "twilio", "realtime")
            for port in ("x", "-1", "99999", "", "²")
        ),
        ["realtime", "--control-port", "65536"],
        ["telnyx", "--host", ""],
        ["telnyx", "--host", "my machine"],
        ["telnyx", "--webhook-url", "127.0.0.1:6000/webhooks"],
        ["telnyx", "--webhook-url", "ftp://127.0.0.1/"],
        ["twilio", "--server", "http://127.0.0.1:99999"],
        ["twilio", "--public-url", "phone.example"],
        ["telnyx", "--api-key", ""],
        ["telnyx", "and", "more"],
        ["telnyx", "--target", "http://127.0.0.1:6000/webhooks", "--webhook-url", "http://127.0.0.1:6000/webhooks"],
        ["telnyx", "--target", "127.0.0.1:6000"],
        ["realtime", "--target", "http://127.0.0.1:6000/"],
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("server.py")
    assert said.count("\n") == 1
