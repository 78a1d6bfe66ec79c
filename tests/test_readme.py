"""What README.md and docs/operations.md show is done here as it stands there: commands, the proxy, MCP clients' entry.

Only what the reader has to fill in is filled in: the id of a call, ports, and the folder of the installation.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import Call, Telnyx
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from tests.e2e.outbound import OURS, TOKEN
from tests.e2e.process import ROOT, serving
from tests.e2e.product import until
from tests.e2e.scenes import exchange
from tests.ports import free_port


PAGES = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/operations.md"))


def shown(language: str, holds: str) -> str:
    """The one block of that language, in either page, which holds that."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGES, re.DOTALL) if holds in block]
    return str(found)


def needs(program: str) -> str:
    """Its path. Skips where it is not installed, but not where all of it is to be tested."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if path is None:
        message = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def filled_in(text: str, **values: object) -> str:
    """Each of these must be there."""
    for given, value in values.items():
        assert given in text, f"{given!r} is not in:\n{text}"
        text = text.replace(given, str(value))
    return text


async def shell(script: str, folder: Path, **env: object) -> str:
    """What it says. In a folder where `python server.py` is the server, as in one that was cloned."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    if not (folder / "server.py").exists():
        (folder / "server.py").symlink_to(ROOT / "server.py")
    for name in (".env", "settings.toml"):
        (folder / name).touch()
    variables = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", script, cwd=folder, env=variables | {name: str(value) for name, value in env.items()},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{script}\nended with {process.returncode}:\n{out.decode()}{err.decode()}"
    return out.decode()


def model() -> Realtime:
    return Realtime(script=Script.tone(0.4), pace=Pace.instant())


async def talking(telnyx: Telnyx) -> Call:
    """A caller who hears the agent."""
    call = await telnyx.ring()
    await call.wait_streaming(8)
    await call.phone.hears(0.3)
    return call


# The commands


async def the_live_one(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        (call,) = (await client.get(f"http://127.0.0.1:{port}/api/calls/live")).json()["live"]
    return str(call["id"])


@pytest.mark.proof
async def test_a_call_is_changed_and_listed_and_kept_and_replayed_as_it_is_shown(tmp_path: Path) -> None:
    needs("curl")
    change, commands = shown("sh", "<id>/session"), shown("sh", "server.py replay call.jsonl")
    record = tmp_path / "data"
    telnyx, realtime = exchange(), model()
    async with serving(telnyx, realtime, DATA_DIR=record, RECORD=1) as server:
        call, port = await talking(telnyx), await server.console_port()
        name = await the_live_one(port)
        told = await shell(filled_in(change, **{"<id>": name, ":6001": f":{port}"}), tmp_path)
        assert json.loads(told) == {"warnings": []}, "all of it was taken"
        session = await realtime.wait_session(1)
        await until(lambda: session.config["audio"]["output"]["speed"] == 0.9, "the change to reach the model")
        assert session.config["instructions"] == "Speak more slowly."
        await call.hang_up()
        await server.live(0)
        await server.stop()
        assert await server.ended() == 0
    said = await shell(filled_in(commands, **{"3f2a": name[:4]}), tmp_path, DATA_DIR=record)
    assert call.from_number in said
    assert name in (tmp_path / "call.jsonl").read_text()
    assert "<svg" in (tmp_path / "call.svg").read_text()


async def test_a_live_call_is_ended_as_it_is_shown(tmp_path: Path) -> None:
    needs("curl")
    from_here, over_http = shown("sh", "/hangup -H").splitlines()
    telnyx, realtime = exchange(), model()
    async with serving(telnyx, realtime, DATA_DIR=tmp_path / "data") as server:
        port = await server.console_port()
        for command in (from_here, over_http):
            call = await talking(telnyx)
            name = await the_live_one(port)
            if command is over_http:
                told = await shell(filled_in(command, **{"<id>": name, ":6001": f":{port}"}), tmp_path)
                assert json.loads(told) == {"call": name, "when": "goodbye", "by": "operator"}
            else:
                command = filled_in(command, **{"3f2a": name[:4]})
                await shell(command, tmp_path, DATA_DIR=tmp_path / "data", CONSOLE_PORT=port)
            await call.wait_ended(8)
            assert call.ended_by == "product"
            await server.live(0)
        await server.stop()
        assert await server.ended() == 0


async def test_a_call_is_made_as_it_is_shown(tmp_path: Path) -> None:
    needs("curl")
    telnyx, realtime = exchange(), model()
    env = {"TELNYX_CONNECTION_ID": CONNECTION_ID, "TELNYX_FROM_NUMBER": OURS, "CONSOLE_TOKEN": TOKEN}
    async with serving(telnyx, realtime, DATA_DIR=tmp_path / "data", **env) as server:
        port = await server.console_port()
        variables = {"CONSOLE_PORT": port, "CONSOLE_TOKEN": TOKEN}
        for number, command in enumerate((shown("sh", "server.py dial +"), shown("sh", "order-4711")), 1):
            is_curl = command.startswith("curl")
            told = asyncio.create_task(
                shell(filled_in(command, **{":6001": f":{port}"} if is_curl else {}), tmp_path, **variables)
            )
            await telnyx.until(lambda number=number: len(telnyx.calls) == number)  # type: ignore[misc]
            call = list(telnyx.calls.values())[-1]
            assert (call.from_number, call.to_number) == (OURS, "+15550100001")
            await call.phone.hears(0.3, since=0.0)
            session = await realtime.wait_session(number)
            assert "Your order is ready." in json.dumps([each.event for each in session.received])
            await call.hang_up()
            said = await told
            if is_curl:
                assert json.loads(said)["callSid"] in telnyx.calls
            else:
                assert "It was answered, and took " in said
        await server.stop()
        assert await server.ended() == 0


async def test_the_session_of_coming_calls_is_changed_as_it_is_shown(tmp_path: Path) -> None:
    needs("curl")
    change = shown("sh", "/api/session ")
    telnyx, realtime = exchange(), model()
    async with serving(telnyx, realtime, DATA_DIR=tmp_path / "data") as server:
        told = await shell(filled_in(change, **{":6001": f":{await server.console_port()}"}), tmp_path)
        assert json.loads(told)["warnings"] == [], "all of it was taken"
        call = await talking(telnyx)
        audio = (await realtime.wait_session(1)).config["audio"]
        assert (audio["input"]["turn_detection"]["threshold"], audio["output"]["voice"]) == (0.7, "cedar")
        await call.hang_up()
        await server.live(0)
        await server.stop()
        assert await server.ended() == 0


# The entry for MCP clients


async def test_the_entry_for_mcp_clients_starts_a_server_of_that_name(tmp_path: Path) -> None:
    ((name, entry),) = json.loads(shown("json", "mcpServers"))["mcpServers"].items()
    command = filled_in(entry["command"], **{"/path/to/callflow": Path(sys.prefix).parent})
    if not os.access(command, os.X_OK) and os.environ.get("CI") != "true":
        pytest.skip("these tests do not run in the environment that scripts/setup makes")
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/callflow.db"}
    server = StdioServerParameters(command=command, args=entry["args"], env=variables, cwd=tmp_path)
    async with Client(stdio_client(server)) as client:
        assert client.server_info is not None
        assert client.server_info.name == name
        assert len((await client.list_tools()).tools) > 0


# The proxy


NGINX = """
daemon off; master_process off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    log_format plain '$request_method $request_uri $status';
    access_log {folder}/access.log plain;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


@asynccontextmanager
async def nginx(folder: Path, location: str, port: int) -> AsyncIterator[Path]:
    """Its log of requests."""
    program = needs("nginx")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, location=location, port=port))
    process = await asyncio.create_subprocess_exec(
        program, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"),
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:

        def listens() -> bool:
            if process.returncode is not None:
                raise AssertionError(f"nginx has ended: {(folder / 'error.log').read_text()}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await until(listens, "nginx to listen")
        yield folder / "access.log"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_a_call_comes_through_nginx_as_it_is_shown(tmp_path: Path) -> None:
    location = shown("nginx", "location / {")
    needs("nginx")
    port, telnyx, realtime = free_port(), exchange(), model()
    address = f"http://127.0.0.1:{port}"
    async with serving(telnyx, realtime, DATA_DIR=tmp_path / "data", PUBLIC_BASE_URL=address) as server:
        block = filled_in(location, **{"http://127.0.0.1:6000;": f"http://127.0.0.1:{await server.public_port()};"})
        async with nginx(tmp_path, block, port) as access_log:
            telnyx.webhook_url = f"{address}/webhooks"
            call = await talking(telnyx)
            session = await realtime.wait_session(1)
            before = len(session.audio_in)
            await until(lambda: len(session.audio_in) - before > 4000, "the caller's voice at the model")
            await call.hang_up()
            await server.live(0)
        requests = access_log.read_text().splitlines()
        assert requests.count("POST /webhooks 200") >= 3, requests
        sockets = [each for each in requests if each.startswith("GET /media-stream/")]
        assert len(sockets) == 1, requests
        assert sockets[0].endswith(" 101"), requests
        await server.stop()
        assert await server.ended() == 0
