"""Distinctive keys in every setting that holds a secret, and the search for them in whatever the product puts out.

The search knows nothing of how the product hides them. Whatever secret setting is added is planted by itself.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import httpx
from pydantic import SecretStr

from callflow.config.settings import Settings
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e.process import SERVER, Process, python


def key(name: str) -> str:
    """No two begin alike; with characters that every way of writing them changes."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"Zq{digest[:14]}/a+b%2F=&~{digest[14:24]}"


KEYS: Final = {
    **{name: key(name) for name, setting in Settings.model_fields.items() if setting.annotation is SecretStr},
    "events_secret": "whsec_" + base64.b64encode(hashlib.sha256(b"events").digest()).decode(),  # no other form is taken
}
"""By setting."""
ADDRESSES: Final = [name for name in Settings.model_fields if name.endswith(("_url", "_base"))]
PASSWORD: Final = key("the database's password")
QUERY: Final = key("a query's key")
REMOTE: Final = key("a remote tool server's token")
ALL: Final = {**KEYS, "password": PASSWORD, "query": QUERY, "remote": REMOTE}
NAMES: Final = {
    "TWILIO_ACCOUNT_SID": "AC" + "5a" * 16,
    "TWILIO_API_KEY": "SK" + "5b" * 16,
    "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(range(32))).decode(),
}
"""What the keys go with; no secrets."""
ENV: Final = {
    **{name.upper(): value for name, value in KEYS.items()}, **NAMES, "PORT": 0, "CONSOLE_PORT": 0,
    "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={KEYS['otel_exporter_otlp_headers']}",
    "CONSOLE_TOKENS": f"desk:configure:planted:{KEYS['console_tokens']}",
}  # fmt: skip
TOOLS: Final = f'''
import os


def whoami() -> str:
    """Fails with what it should keep to itself."""
    raise RuntimeError("no luck with " + os.environ["OPENAI_API_KEY"] + " and " + os.environ["TELNYX_API_KEY"])


tools = [whoami, {{"type": "mcp", "server_label": "orders", "authorization": {REMOTE!r},
         "server_url": "https://user:{quote(PASSWORD, safe="")}@orders.example/mcp?key={quote(QUERY, safe="")}"}}]
'''


def written(secret: str) -> Iterator[bytes]:
    """Every way in which a secret may stand in a text; and its beginning alone."""
    for text in (
        secret, secret[:12], quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1],
        json.dumps(secret)[1:-1], secret.replace("&", "&amp;"), secret.replace("%2F", "/"),
    ):  # fmt: skip
        yield text.encode()
    for before in range(3):
        # what base64 makes of it within something longer, but for the characters that its neighbours have a say in
        encoded = base64.b64encode(b"x" * before + secret.encode() + b"x" * 3)
        yield encoded[4 if before else 0 : 20]
        yield encoded[4 if before else 0 : 20].translate(bytes.maketrans(b"+/", b"-_"))
    yield secret.encode().hex().encode()


@dataclass
class Evidence:
    """Every byte that came out, and where."""

    found: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, where: str, data: bytes | str) -> None:
        self.found.append((where, data.encode() if isinstance(data, str) else data))

    def add_files(self, folder: Path, besides: Iterable[str] = ()) -> None:
        """All files, but for those in which a secret belongs."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in besides:
                self.add(f"file {path.relative_to(folder)}", path.read_bytes())

    def add_process(self, process: Process, what: str) -> None:
        self.add(f"stdout of {what}", "".join(process.out))
        self.add(f"stderr of {what}", "".join(process.err))

    def holds(self, text: str) -> bool:
        return any(text.encode() in data for _, data in self.found)

    def holds_none_of(self, secrets: Mapping[str, str]) -> None:
        leaks = []
        for name, secret in secrets.items():
            ways = set(written(secret))
            for where, data in self.found:
                for way in ways:
                    if (place := data.find(way)) >= 0:
                        leaks.append(f"{name} in {where}: …{data[max(place - 80, 0) : place + 60]!r}…")
                        break
        assert not leaks, "\n".join(leaks)

    async def ask(
        self, url: str, *, method: str = "GET", token: str = "", body: Any = None, **headers: str
    ) -> httpx.Response:
        """One request; its answer's head and body are evidence."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            answer = await client.request(method, url, headers=headers, content=content)
        self.add(f"{method} {url}", f"{answer.status_code} {answer.headers!r}\n".encode() + answer.content)
        return answer


@asynccontextmanager
async def ran(
    evidence: Evidence, what: str, *arguments: str, files: Mapping[str, str] | None = None, **env: object
) -> AsyncIterator[Process]:
    """`python server.py` with these arguments and all keys; what it says is evidence, and so are its files."""
    async with python(SERVER, *arguments, files=files, env={**ENV, **env}) as process:
        yield process
        if process.exit_code is None:
            await process.stop()
        await process.ended(30, noisy=True)
        evidence.add_process(process, what)
        evidence.add_files(process.folder / "data", besides=("stream.secret",))


async def told(evidence: Evidence, what: str, *arguments: str, code: int | None = None, **more: Any) -> str:
    """The same for a command that ends by itself. Returns what it said."""
    async with ran(evidence, what, *arguments, **more) as process:
        ended = await process.ended(30, noisy=True)
        assert code in (None, ended), f"{what} ended with {ended} and said:\n{process.said()}"
        return process.said()


async def mcp(evidence: Evidence, folder: Path, **env: object) -> None:
    """Ask everything of `python -m callflow.mcp` in that folder, over its standard input."""
    lines = "".join(json.dumps(each) + "\n" for each in questions())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callflow.mcp", cwd=folder,
        env={name: str(value) for name, value in {"PATH": "/usr/bin:/bin", **ENV, **env}.items()},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            process.stdin.write(lines.encode())
            await process.stdin.drain()
            answers = [await process.stdout.readline() for each in questions() if "id" in each]
            out, err = await process.communicate(b"")
    finally:
        if process.returncode is None:
            process.kill()
    evidence.add("stdout of MCP", b"".join(answers) + out)
    evidence.add("stderr of MCP", err)
    assert all(b'"jsonrpc"' in each for each in answers), err


def questions() -> list[dict[str, Any]]:
    """What an MCP client asks."""
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("initialize", about),
        ("tools/list", {}),
        ("resources/list", {}),
        ("tools/call", {"name": "get_conversations", "arguments": {}}),
        ("tools/call", {"name": "search_conversations_by_text", "arguments": {"query": "hello"}}),
        ("tools/call", {"name": "get_conversation_timeline", "arguments": {"streamSid": "none"}}),
        ("resources/read", {"uri": "conversation://none"}),
    ]
    first, *others = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(asked, 1)
    ]
    return [first, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *others]


# What a server with calls serves


async def everything(evidence: Evidence, process: Process, calls: list[str]) -> None:
    """Ask both listeners for all that they serve, as those who may and as those who may not."""
    public = f"http://127.0.0.1:{await process.public_port()}"
    console = f"http://127.0.0.1:{await process.console_port()}"
    routes = (await evidence.ask(f"{public}/api/version")).json()["routes"]
    for route in [*routes, "/media-stream/x", "/nowhere", "/health?nonce=abc"]:
        await evidence.ask(f"{public}{route}")
        await evidence.ask(f"{public}{route}", method="POST", body=b'{"data": 1}')
    token = KEYS["console_token"]
    paths = ["/health", "/api/calls", "/api/calls/live", "/tools", "/nowhere", "/api/conversations"]
    paths += [f"/api/conversations{end}" for end in ("/export", "/export?format=csv", "?text=hello", "?from=nonsense")]
    for call in calls:
        paths += [f"/api/calls/{call}", f"/api/calls/{call}/recording", f"/api/conversations/stream/{call}"]
    for path in paths:
        answer = await evidence.ask(f"{console}{path}", token=token)
        assert answer.status_code in (200, 206, 400, 404, 503), f"{path}: HTTP {answer.status_code} {answer.text[:200]}"
        await evidence.ask(f"{console}{path}")
    json_ = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for question in questions():
        await evidence.ask(f"{console}/mcp", method="POST", token=token, body=question, **json_)
    for call in calls:
        changes = {"voice": KEYS["openai_api_key"], "port": QUERY, "speed": PASSWORD, "nonsense": QUERY}
        await evidence.ask(
            f"{console}/api/calls/{call}/session", method="POST", token=token, body=changes, **json_
        )  # fmt: skip


async def names(process: Process) -> list[str]:
    evidence = Evidence()
    answer = await evidence.ask(
        f"http://127.0.0.1:{await process.console_port()}/api/calls/live", token=KEYS["console_token"]
    )
    recorded: list[str] = answer.json()["recorded"]
    return recorded


async def on_record(process: Process, count: int) -> list[str]:
    """The names of the calls, once there are so many of them."""
    found: list[str] = []
    async with asyncio.timeout(15):
        while len(found) < count:
            found = await names(process)
            await asyncio.sleep(0.02)  # another process has no event for us
    return found


def peers(public: str, server: str = "") -> tuple[Telnyx, Twilio]:
    """Carriers that know our keys; `server`: where the public address really leads."""
    key = (NAMES["TWILIO_API_KEY"], KEYS["twilio_api_secret"])
    return (
        Telnyx(webhook_url=f"{server or public}/webhooks", api_key=KEYS["telnyx_api_key"]),
        Twilio(public, server=server, voice="/", auth_token=KEYS["twilio_auth_token"], api_key=key),
    )


async def says_on_record(process: Process, call: str, text: str) -> None:
    """Until the record of a call says so."""
    url = f"http://127.0.0.1:{await process.console_port()}/api/calls/{call}"
    said = ""
    try:
        async with asyncio.timeout(15):
            while text not in said:
                said = (await Evidence().ask(url, token=KEYS["console_token"])).text
                await asyncio.sleep(0.02)  # another process has no event for us
    except TimeoutError:
        raise AssertionError(f"{text!r} is not in the record of the call: {said}") from None


# Peers that repeat what they are told


@asynccontextmanager
async def parrot(status: int = 422) -> AsyncIterator[str]:
    """An HTTP server that refuses everything, and repeats the whole request in every part of its answer: as a carrier's
    error, as a model's, and in its headers. Its address, without a scheme."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            given = {name.lower(): value for name, value in fields.items()}
            body = (await reader.readexactly(int(given.get("content-length", 0)))).decode("latin-1")
            said = f"{given.get('authorization', '')} {head} {body}"
            key = said.split(" ")[1] if said.startswith(("Bearer", "Basic")) else said
            error = {"code": key, "title": said, "detail": said, "message": said, "type": key, "param": head}
            answer = json.dumps({"errors": [error], "error": error, **error}).encode()
            echoed = "".join(f"X-{name}: {value}\r\n" for name, value in fields.items())
            lines = f"HTTP/1.1 {status} {key}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n"
            writer.write(
                f"{lines}WWW-Authenticate: {key}\r\nConnection: close\r\n{echoed}\r\n".encode("latin-1") + answer
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def talkative_database() -> AsyncIterator[int]:
    """A PostgreSQL server that asks for the password in the clear, does not like it, and says so. Its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (await _message(reader))[:4] == _SSL_REQUEST:
                writer.write(b"N")
            writer.write(b"R" + (8).to_bytes(4) + (3).to_bytes(4))  # AuthenticationCleartextPassword
            await reader.readexactly(1)
            password = (await _message(reader))[:-1]
            fields = b"SFATAL\0VFATAL\0C28P01\0Mno entry for password " + password + b"\0D" + password + b"\0\0"
            writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


_SSL_REQUEST: Final = (80877103).to_bytes(4)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Without its length."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
