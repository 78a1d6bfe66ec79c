"""A tunnel: opened before the start table, told to people, closed at the end. ngrok's program is played by a script."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import stat
import sys
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from callflow.app import Application
from callflow.cli import tunnel
from callflow.config.settings import Settings
from callflow.contracts.errors import TunnelError
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.process import SERVER, Process, serving
from tests.e2e.product import run, until
from tests.sample import Sample


NGROK: Final = '''#!{python}
"""Says what ngrok says, and serves what pyngrok asks it."""
import http.server, json, os, pathlib, sys
if sys.argv[1] != "start":
    print("ngrok version 3.30.0")
    sys.exit(0)
pathlib.Path(os.environ["HOME"], "ngrok.pid").write_text(str(os.getpid()))
token = os.environ.get("NGROK_AUTHTOKEN", "")
pathlib.Path(os.environ["HOME"], "ngrok.started").write_text(json.dumps([sys.argv, token]))
if os.environ.get("NGROK_PLAYS") == "disliked":
    print(f't=1 lvl=eror msg="session closing" err="not a proper authtoken: {{token}} ERR_NGROK_105"', flush=True)
    sys.exit(1)
if os.environ.get("NGROK_PLAYS") == "offline":
    print('t=1 lvl=eror msg="failed to reconnect session" err="dial tcp: lookup ngrok.com: no such host"', flush=True)
    sys.exit(1)
if os.environ.get("NGROK_PLAYS") == "limited":
    print('t=1 lvl=eror msg="session closing" err="authentication failed: ERR_NGROK_108"', flush=True)
    sys.exit(1)
if os.environ.get("NGROK_PLAYS") == "refused":
    print('t=1 lvl=eror msg="session closing" err="authentication failed: ERR_NGROK_4018"', flush=True)
    sys.exit(1)

class Agent(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        pathlib.Path(os.environ["HOME"], "ngrok.asked").write_bytes(body or b"-") if body else None
        out = json.dumps({{"name": "x", "proto": "https", "public_url": "https://ab-12.ngrok.example",
                           "uri": "/api/tunnels/x", "endpoints": [], "tunnels": []}}).encode()
        self.send_response(201 if body else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): pass

agent = http.server.HTTPServer(("127.0.0.1", 0), Agent)
print(f't=1 lvl=info msg="starting web service" addr=127.0.0.1:{{agent.server_port}}', flush=True)
print('t=1 lvl=info msg="tunnel session started"', flush=True)
print('t=1 lvl=info msg="client session established"', flush=True)
agent.serve_forever()
'''
CLOUDFLARED: Final = """#!/bin/sh
echo $$ > "$HOME/cloudflared.pid"
echo 'INF |  https://green-apple-42.trycloudflare.com  |' >&2
while :; do echo 'INF still here' >&2; sleep 0.2; done
"""


class StandIn:
    """A tunnel that leads nowhere."""

    name = "a stand-in"

    def __init__(self, fails: bool = False) -> None:
        self.port = 0
        self.is_open = self.was_closed = False
        self._fails = fails

    async def open(self, port: int) -> str:
        if self._fails:
            raise TunnelError("no way out")
        self.port, self.is_open = port, True
        return "https://in.tunnel.example"

    async def close(self) -> None:
        self.is_open, self.was_closed = False, True


def line(folder: Path, through: StandIn, **settings: Any) -> Application:
    keys = {"openai_api_key": "sk-of-this-test", "telnyx_api_key": "KEY", "telnyx_public_key": "A" * 43 + "="}
    chosen: dict[str, Any] = {**keys, "port": 0, "console_port": 0, "data_dir": str(folder), **settings}
    return Application(Settings(**chosen), through)


async def test_a_line_tells_the_address_of_its_tunnel_and_closes_it(tmp_path: Path) -> None:
    through = StandIn()
    async with line(tmp_path, through) as one:
        assert through.port == one.public_at[1]
        assert one.address() == "https://in.tunnel.example"
        assert through.is_open
    assert through.was_closed


async def test_an_address_that_is_known_needs_no_tunnel(tmp_path: Path) -> None:
    through = StandIn()
    async with line(tmp_path, through, public_base_url="https://phone.example") as one:
        assert not through.is_open
        assert any("no tunnel is opened" in warning for warning in one.warnings)


async def test_a_tunnel_that_fails_leaves_no_listener_behind(tmp_path: Path) -> None:
    one = line(tmp_path, StandIn(fails=True))
    with pytest.raises(TunnelError, match="no way out"):
        await one.__aenter__()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", one.public_at[1])


def test_ngrok_unless_only_cloudflared_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tunnel.choose("").name == "ngrok"
    program(tmp_path, "cloudflared", CLOUDFLARED)
    assert tunnel.choose("").name == "cloudflared"
    assert tunnel.choose("a-token").name == "ngrok"
    program(tmp_path, "ngrok", NGROK)
    assert tunnel.choose("").name == "ngrok"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text.format(python=sys.executable) if "{python}" in text else text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def environment(folder: Path, **env: str) -> dict[str, str]:
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), **env}


async def gone(folder: Path, name: str) -> None:
    pid = int((folder / f"{name}.pid").read_text())

    def is_gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    await until(is_gone, f"{name} to end with the server", 5)


async def published(process: Process, address: str) -> None:
    await process.says(f"Telnyx webhook: {address}/webhooks")
    (row,) = (one for one in process.out if one.strip().startswith("public address"))
    assert row.split()[-1] == address


async def test_public_opens_ngrok_tells_each_carriers_address_and_ends_it(tmp_path: Path) -> None:
    program(tmp_path, "ngrok", NGROK)
    env = environment(tmp_path, NGROK_AUTH_TOKEN="a-token-of-ngrok")
    telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks")
    async with serving(telnyx, Realtime(), arguments=(SERVER, "--public"), **env) as process:
        await published(process, "https://ab-12.ngrok.example")
        asked = (tmp_path / "ngrok.asked").read_text()
        assert f'"http://127.0.0.1:{await process.public_port()}"' in asked
        assert "a-token-of-ngrok" not in process.said()
        call = await telnyx.ring()
        await call.wait_answered()
        (command,) = (one for one in telnyx.commands if one.action == "answer")
        assert command.body["stream_url"].startswith("wss://ab-12.ngrok.example/")
        await call.hang_up()
        await process.stop()
        assert await process.ended() == 0
    await gone(tmp_path, "ngrok")


async def test_the_setting_public_does_the_same_and_cloudflared_will_do(tmp_path: Path) -> None:
    program(tmp_path, "cloudflared", CLOUDFLARED)
    telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks")
    async with serving(telnyx, Realtime(), **environment(tmp_path, PUBLIC="true")) as process:
        await published(process, "https://green-apple-42.trycloudflare.com")
        await process.stop()
        assert await process.ended() == 0
    await gone(tmp_path, "cloudflared")


CLOUDFLARED_FAILS: Final = """#!/bin/sh
echo 'ERR failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": no such host' >&2
"""


async def test_a_tunnel_that_cloudflared_cannot_make_is_not_taken_for_an_open_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "cloudflared", CLOUDFLARED_FAILS)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(TunnelError, match="no such host"):
        await tunnel.Cloudflared().open(6000)


@pytest.mark.parametrize(("name", "plays"), [("cloudflared", CLOUDFLARED), ("ngrok", NGROK)])
async def test_a_tunnel_whose_program_ends_is_told(
    name: str, plays: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program(tmp_path, name, plays)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tunnel, "_LOOK_SECONDS", 0.02)
    through = tunnel.Cloudflared() if name == "cloudflared" else tunnel.Ngrok()
    address = await through.open(6000)
    os.kill(int((tmp_path / f"{name}.pid").read_text()), signal.SIGKILL)
    await until(lambda: f"no new call reaches {address}" in caplog.text, "the end of the tunnel to be told", 10)
    await through.close()


@pytest.mark.parametrize("plays", ["refused", "disliked"])
async def test_a_tunnel_that_is_refused_says_what_to_do_in_one_line_without_the_token(
    tmp_path: Path, plays: str
) -> None:
    program(tmp_path, "ngrok", NGROK)
    token = "2Zq9ngrokToken0123456789_abc"
    from tests.e2e.process import environment as sandbox
    from tests.e2e.process import python

    telnyx, realtime = Telnyx(webhook_url="http://127.0.0.1:9/webhooks"), Realtime()
    async with telnyx, realtime:
        env = {**sandbox(telnyx, realtime), **environment(tmp_path, NGROK_PLAYS=plays)}
        env["NGROK_AUTH_TOKEN"] = token
        async with python(SERVER, "--public", env=env) as process:
            assert await process.ended(20) == 2
            (told,) = (one for one in process.err if one.startswith("Cannot start: "))
            assert "NGROK_AUTH_TOKEN" in told
            assert token not in process.said()
        command, given = json.loads((tmp_path / "ngrok.started").read_text())
        assert given == token
        assert token not in " ".join(command), "everybody on this machine can read a command line"


@pytest.mark.parametrize(
    ("plays", "told"), [("offline", "reaches the internet"), ("limited", "ngrok.com/docs/errors/err_ngrok_108")]
)
def test_the_token_is_not_blamed_for_the_network_nor_for_a_limit(
    tmp_path: Path, plays: str, told: str, some: Sample
) -> None:
    program(tmp_path, "ngrok", NGROK)
    for token in some(("", "2Zq9ngrokToken0123456789_abc"), 2):
        said = refusal(tmp_path, NGROK_PLAYS=plays, NGROK_AUTH_TOKEN=token)
        assert told in said
        assert "NGROK_AUTH_TOKEN" not in said


@pytest.mark.parametrize(
    "said",
    [
        "Get https://api.ngrok.com: dial tcp: lookup api.ngrok.com on 127.0.0.53:53: server misbehaving",
        "<urlopen error [Errno -3] Temporary failure in name resolution>",
        "connect: network is unreachable",
        "connection refused",
        "read tcp 10.0.0.2:1->3.3.3.3:443: i/o timeout",
        "x509: certificate signed by unknown authority",
        "TimeoutError",
    ],
)
def test_what_the_network_does_is_told_as_that(said: str) -> None:
    for token in ("", "2Zq9ngrokToken0123456789_abc"):
        told = tunnel._ngrok_advice(said, token)
        assert "reaches the internet" in told
        assert "authtoken" not in told


NO_NETWORK: Final = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")


def without_ngrok(folder: Path, **env: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        **NO_NETWORK,
        **env,
    }


def refusal(folder: Path, **env: str) -> str:
    """What a server with --public says that does not start."""
    told: list[str] = []

    async def main() -> None:
        from tests.e2e.process import environment as sandbox
        from tests.e2e.process import python

        telnyx, realtime = Telnyx(webhook_url="http://127.0.0.1:9/webhooks"), Realtime()
        async with (
            telnyx,
            realtime,
            python(SERVER, "--public", env={**sandbox(telnyx, realtime), **environment(folder), **env}) as process,
        ):
            assert await process.ended(20) == 2
            told.extend(one for one in process.err if one.startswith("Cannot start: "))

    run(main())
    (line,) = told
    return line


needs_no_ngrok = pytest.mark.skipif(
    shutil.which("ngrok", path="/usr/bin:/bin") is not None, reason="ngrok is installed"
)


@needs_no_ngrok
def test_nothing_is_downloaded_where_nobody_can_be_asked(tmp_path: Path) -> None:
    said = refusal(tmp_path, **without_ngrok(tmp_path), NGROK_AUTH_TOKEN="a-token-of-ngrok")
    assert "ngrok is not installed" in said
    assert "NGROK_DOWNLOAD=true" in said
    assert not (tmp_path / "config").exists()


@needs_no_ngrok
def test_a_download_without_a_network_is_told_as_that(tmp_path: Path) -> None:
    said = refusal(tmp_path, **without_ngrok(tmp_path), NGROK_DOWNLOAD="true")
    assert "could not be downloaded" in said
    assert "reaches the internet" in said
    assert "authtoken" not in said


@pytest.mark.parametrize(("typed", "wanted"), [("y", True), ("Yes", True), ("n", False), ("", False), ("sure", False)])
def test_the_terminal_is_asked(
    typed: str, wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal, os.fdopen(os.dup(theirs), "w") as screen:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        os.write(ours, f"{typed}\n".encode())
        if wanted:
            assert tunnel.ask()
        else:
            with pytest.raises(TunnelError, match="NGROK_DOWNLOAD"):
                tunnel.ask()
    os.close(ours)


def test_with_leave_the_program_is_downloaded_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyngrok import installer

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYNGROK_NGROK_PATH", str(tmp_path / "ngrok"))
    asked: list[str] = []

    def install(path: str) -> None:
        asked.append(path)
        program(tmp_path, "ngrok", NGROK)

    monkeypatch.setattr(installer, "install_ngrok", install)
    assert tunnel.must_ask("a-token")

    async def main() -> None:
        for download in (False, True, False):  # the third time it is there
            through = tunnel.choose("a-token", download)
            if not download and not asked:
                with pytest.raises(TunnelError, match="not installed"):
                    await through.open(6000)
                continue
            assert await through.open(6000) == "https://ab-12.ngrok.example"
            await through.close()

    run(main())
    assert asked == [str(tmp_path / "ngrok")]
    assert not tunnel.must_ask("a-token")
