"""`python server.py` as an operator meets it: what it says, when it refuses to start, and how it is embedded."""

from __future__ import annotations

import asyncio
import base64
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import httpx
import psutil
import pytest

from tests.e2e.process import ROOT, SERVER, SETTINGS, environment, serving
from tests.e2e.process import python as any_python
from tests.e2e.product import run, together
from tests.e2e.scenes import exchange, model
from tests.ports import free_port


KEYS: Final = {
    "OPENAI_API_KEY": "sk-secret-0123456789-abcd",
    "TELNYX_API_KEY": "KEYsecret0123456789efgh",
    "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(range(32))).decode(),
    "PORT": "0",
    "CONSOLE_PORT": "0",
}


python = partial(any_python, anew=True)


@contextmanager
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# The start


async def test_whoever_asks_during_the_start_waits_and_is_not_refused() -> None:
    """The ports are open before the rest is loaded: a restart turns nobody away for longer than it must."""
    ports = free_port(), free_port()
    async with python(SERVER, env=KEYS | {"PORT": str(ports[0]), "CONSOLE_PORT": str(ports[1])}) as process:
        used = psutil.Process(process.process.pid).cpu_times

        def seconds() -> float:
            return float(used().user + used().system)

        async def connected(port: int) -> asyncio.StreamWriter:
            async with asyncio.timeout(10):
                while True:
                    try:
                        reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.002)
                    else:
                        readers[port] = reader
                        return writer

        readers: dict[int, asyncio.StreamReader] = {}
        writers = {port: await connected(port) for port in ports}
        open_after = seconds()
        for port, writer in writers.items():
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await readers[port].readline()).startswith(b"HTTP/1.1 "), process.said()
            writer.close()
        assert open_after < 0.6 * seconds(), "the ports were opened when all was loaded"


# Refusals


async def test_without_settings_it_exits_2_with_one_line_for_each() -> None:
    async with python(SERVER) as process:
        assert await process.ended() == 2
        assert process.out == []
        assert len(process.err) == 2, process.err
        assert process.err[0].startswith("OPENAI_API_KEY")
        assert "server.py demo" in process.err[0]
        assert "TELNYX_API_KEY and TELNYX_PUBLIC_KEY" in process.err[1]
        assert {one.name for one in process.folder.iterdir()} == SETTINGS, (
            "a server that did not start has written files"
        )


async def test_half_a_carrier_and_an_open_console_exit_2_and_name_what_is_missing() -> None:
    env = KEYS | {"TELNYX_PUBLIC_KEY": "", "CONSOLE_HOST": "0.0.0.0"}
    async with python(SERVER, "serve", env=env) as process:
        assert await process.ended() == 2
        assert [line.split()[0] for line in process.err] == ["TELNYX_PUBLIC_KEY", "CONSOLE_TOKEN"], process.err


async def test_malformed_values_exit_2_with_one_line_for_each_and_no_secret() -> None:
    env = KEYS | {
        "PORT": "eighty",
        "PUBLIC_BASE_URL": "phone.example",
        "ANSWER_SECONDS": "-1",
        "TELNYX_PUBLIC_KEY": "not-a-key-but-secret",
        "MAX_CONCURRENT_CALLS": "0",
    }
    files = {"settings.toml": 'vioce = "cedar"\nvad_threshold = 7\n', ".env": "LOG_LEVEL=loud\n"}
    async with python(SERVER, files=files, env=env) as process:
        assert await process.ended() == 2
        said = process.said()
        for name in ("PORT", "PUBLIC_BASE_URL", "ANSWER_SECONDS", "TELNYX_PUBLIC_KEY", "MAX_CONCURRENT_CALLS",
                     "VAD_THRESHOLD", "LOG_LEVEL"):  # fmt: skip
            assert sum(line.startswith(name) for line in process.err) == 1, f"{name} in:\n{said}"
        assert 'unknown key "vioce"' in said
        assert 'did you mean "voice"' in said
        assert "not-a-key-but-secret" not in said


async def test_a_bad_port_on_the_command_line_exits_2_and_names_it() -> None:
    port = "99999"
    async with python(SERVER, "--port", port, env=KEYS) as process:
        assert await process.ended() == 2
        assert "port" in process.err[-1].lower(), process.err
        assert port in process.err[-1], process.err


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["alone", "workers"])
async def test_a_port_in_use_is_one_line_and_no_success(more: tuple[str, ...]) -> None:
    with busy_port() as port:
        async with python(SERVER, "--port", str(port), *more, env=KEYS) as process:
            assert await process.ended() not in (0, None)
            assert len(process.err) == 1, process.err
            assert str(port) in process.err[0]
            assert "in use" in process.err[0]
            assert "set PORT to a free port" in process.err[0], "what to do next"


async def test_a_data_folder_that_cannot_be_made_is_one_line_and_no_success() -> None:
    async with python(SERVER, files={"data": "a file"}, env=KEYS) as process:
        assert await process.ended() not in (0, None)
        assert len(process.err) == 1, process.err
        assert "data" in process.err[0]


async def test_a_language_without_clips_is_one_line_and_no_success() -> None:
    async with python(SERVER, env=KEYS | {"CLIP_LANGUAGE": "xx"}) as process:
        assert await process.ended() not in (0, None)
        assert len(process.err) == 1, process.err
        assert "xx" in process.err[0]


# What it shows


@pytest.mark.proof
def test_what_cannot_be_used_is_told_before_a_call_needs_it() -> None:
    cases = {
        "profile": ({"settings.toml": "[profiles.a]\nnumbers = ['+15550100002']\nspeed = 7\n"}, "profile a"),
        "tools": ({"tools.py": "def broken(:\n"}, "tools.py, line 1"),
    }

    async def scene(files: dict[str, str], complaint: str, *arguments: str) -> None:
        async with python(SERVER, *arguments, files=files, env=KEYS) as process:
            await process.says(complaint)
            assert await process.ended() == 2

    run(
        together(
            {
                f"{name} {' '.join(arguments)}": scene(files, complaint, *arguments)
                for name, (files, complaint) in cases.items()
                for arguments in ((), ("--check",))
            }
        )
    )


async def test_check_shows_every_setting_with_secrets_masked_and_starts_nothing() -> None:
    env = KEYS | {"CONSOLE_TOKEN": "console-token-0123456789", "VOICE": "cedar"}
    async with python(SERVER, "--check", files={".env": "MODEL=gpt-realtime-x\n"}, env=env) as process:
        assert await process.ended() == 0
        said = process.said()
        for secret in ("sk-secret-0123456789", "KEYsecret0123456789", "console-token-0123"):
            assert secret not in said
        for shown in (
            "OPENAI_API_KEY",
            "abcd",
            "efgh",
            "cedar",
            "environment",
            "gpt-realtime-x",
            ".env",
            "default",
        ):
            assert shown in said, f"{shown} is not in:\n{said}"
        assert {one.name for one in process.folder.iterdir()} == SETTINGS


async def test_the_start_table_names_both_listeners_and_what_is_left_to_do() -> None:
    async with serving(exchange(), model(), VIOCE="x") as server:
        public, console = await server.public_port(), await server.console_port()
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            assert (await client.get(f"http://127.0.0.1:{public}/health")).text == "OK"
            index = (await client.get(f"http://127.0.0.1:{public}/")).json()
            assert index == {"message": "Media Stream Server is running!"}
            assert (await client.get(f"http://127.0.0.1:{public}/api/calls")).status_code == 404
            assert (await client.get(f"http://127.0.0.1:{console}/health")).json()["ok"] is True
            assert (await client.post(f"http://127.0.0.1:{console}/webhooks")).status_code == 404
        await server.says("to do")
        await server.says("PUBLIC_BASE_URL")
        await server.stop()
        assert await server.ended() == 0
        assert {one.name for one in server.folder.iterdir()} == SETTINGS | {"data"}
        assert (server.folder / "data" / "stream.secret").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_NOFILE"), reason="the system does not tell limits as Linux does")
async def test_it_may_have_as_many_files_open_as_the_system_lets_it() -> None:
    """Shells give a process 1,024, which a few hundred calls or a flood of connections take."""
    wanted = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65_536)
    code = (
        "import resource as r, runpy, sys; r.setrlimit(r.RLIMIT_NOFILE, (256, r.getrlimit(r.RLIMIT_NOFILE)[1]));"
        f" sys.argv = ['server.py']; runpy.run_path({SERVER!r}, run_name='__main__')"
    )
    async with serving(exchange(), model(), arguments=("-c", code), PYTHONPATH=ROOT) as server:
        await server.public_port()
        assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == wanted


OURS = ("callflow", "carriers")


async def test_a_console_port_in_use_is_a_warning_and_the_line_still_answers() -> None:
    telnyx = exchange()
    with busy_port() as port:
        async with serving(telnyx, model(), CONSOLE_PORT=port) as server:
            await server.says("The console is off")
            await server.says(str(port))
            call = await telnyx.ring()
            await call.wait_streaming()
            await call.phone.hears(0.1)
            await call.hang_up()
            await server.stop()
            assert await server.ended() == 0
            of_others = [line for line in server.err if " INFO " in line and not line.split()[3].startswith(OURS)]
            assert of_others == [], "libraries say nothing of a call that goes well"


async def test_the_log_holds_no_secret_and_no_stream_token() -> None:
    telnyx = exchange()
    async with serving(telnyx, model(), LOG_LEVEL="debug") as server:
        call = await telnyx.ring()
        await call.wait_streaming()
        await call.phone.hears(0.1)
        await call.hang_up()
        await server.live(0)
        await server.stop()
        assert await server.ended() == 0
        token = next(one.body["stream_url"].rsplit("/", 1)[1] for one in telnyx.commands if one.action == "answer")
        said = server.said()
        assert token not in said, "a stream's token is in the log"
        for secret in ("sk-sandbox", telnyx.api_key):
            assert secret not in said, f"{secret!r} is in the log"


# Embedded


_WATCH: Final = """
import os, sys, threading, signal, logging
import httpx, hypercorn.asyncio, pydantic_settings, quart, rich.console, websockets  # what they do is not ours
opened, sockets, read = [], [], []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        opened.append(arguments[0])
    if event == "open" and str(arguments[0]).endswith((".env", "settings.toml")):
        opened.append(arguments[0])
    if event.startswith("socket.") and event in ("socket.bind", "socket.connect", "socket.getaddrinfo"):
        sockets.append(event)
sys.addaudithook(watch)
sys.dont_write_bytecode = True
plain = os._Environ.__getitem__
def reading(self, key):
    read.append(key)
    return plain(self, key)
os._Environ.__getitem__ = reading
before = sorted(os.listdir("."))
handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
import server
from callflow.contracts.errors import SettingsError
ours = sorted(set(read) & set("OPENAI_API_KEY TELNYX_API_KEY TELNYX_PUBLIC_KEY PORT HOST MODEL VOICE".split()))
assert not opened, opened
assert not sockets, sockets
assert not ours, ours
assert sorted(os.listdir(".")) == before
assert threading.active_count() == 1, threading.enumerate()
assert handlers == {number: signal.getsignal(number) for number in handlers}
assert not logging.getLogger().handlers
assert callable(server.create_app) and callable(server.run_server)
try:
    server.create_app()
except SettingsError as error:
    print(*error.problems, sep="\\n")
"""


async def test_import_server_reads_no_setting_writes_no_file_and_opens_no_socket() -> None:
    files = {"settings.toml": "this is no toml", ".env": "PORT=none"}
    async with python("-c", _WATCH, files=files, env=KEYS | {"PYTHONPATH": str(ROOT), "PORT": ""}) as process:
        assert await process.ended() == 0
        # And create_app does read them: these are of no use.
        assert ["settings.toml" in line or "PORT" in line for line in process.out] == [True, True], process.said()


async def test_run_server_serves_on_the_port_it_is_given() -> None:
    telnyx, port = exchange(), free_port()
    code = f"import sys, server; sys.exit(server.run_server(port={port}))"
    async with serving(telnyx, model(), arguments=("-c", code), PYTHONPATH=ROOT, PORT=1) as server:
        assert await server.public_port() == port
        call = await telnyx.ring()
        await call.wait_streaming()
        await call.phone.hears(0.1)
        await call.hang_up()
        await server.stop()
        assert await server.ended() == 0


async def test_run_server_serves_in_a_thread_that_gets_no_signals() -> None:
    telnyx = exchange()
    code = "import threading, server; t = threading.Thread(target=server.run_server); t.start(); t.join()"
    async with serving(telnyx, model(), arguments=("-c", code), PYTHONPATH=ROOT) as server:
        call = await telnyx.ring()
        await call.wait_streaming()
        await call.phone.hears(0.1)
        await call.hang_up()
        await server.live(0)


@pytest.mark.proof
async def test_the_app_takes_calls_under_hypercorn_and_leaves_nobody_on_the_line_at_its_end() -> None:
    """Hypercorn drops the media sockets before it tells the app to shut down: too late for a goodbye."""
    telnyx, realtime, port = exchange(), model(30.0), free_port()
    async with telnyx, realtime:
        env = environment(telnyx, realtime) | {"PYTHONPATH": ROOT}
        arguments = (
            "-m",
            "hypercorn",
            "--graceful-timeout",
            "0",
            "--bind",
            f"127.0.0.1:{port}",
            "server:create_app()",
        )
        async with python(*arguments, env=env) as server:
            await server.says("Running on")
            telnyx.webhook_url = f"http://127.0.0.1:{port}/webhooks"
            call = await telnyx.ring()
            await call.wait_streaming()
            await call.phone.hears(0.1)
            second = await telnyx.ring()
            await second.wait_streaming()
            await second.hang_up()
            server.process.terminate()
            await call.wait_ended(10)
            assert call.ended_by == "product", call.story()
            # Python 3.11's streams report every connection that was dropped.
            assert await server.ended(noisy=True) == 0
            answers = [one.body for one in telnyx.commands if one.action == "answer"]
            assert all(body["stream_url"].startswith(f"ws://127.0.0.1:{port}/") for body in answers)
