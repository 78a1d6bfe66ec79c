"""HAProxy, with the configuration that `server.py haproxy` prints, and small servers in the places of Callflow's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callflow.cli.haproxy import Server, configuration
from tests.e2e.product import until
from tests.ports import free_port


_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Node:
    """A server that says its name, and echoes what comes over a WebSocket."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.ready = True
        self.hangs = False
        """It accepts connections, and answers nothing."""
        self.drops = False
        """It closes the connection on which it has read a POST."""
        self.requests: list[str] = []
        """Method and target of each; of checks too."""
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._queue: list[socket.socket] = []
        """Of a server that answers no packet: its listening socket, and what waits there for ever."""

    @property
    def server(self) -> Server:
        return Server(self.name, f"127.0.0.1:{self.port}")

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def die(self) -> None:
        """As kill -9 does it: nothing listens, and what was open is closed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        for one in self._queue:
            one.close()

    async def vanish(self) -> None:
        """As a machine without power does it: it answers no packet. On Linux, a queue that is full does as well."""
        await self.die()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(0)
        self._queue.append(listening)
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self._queue.append(one)

    def of_carriers(self) -> list[str]:
        return [each for each in self.requests if not each.endswith(("/ready", "/health"))]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
            }
            await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append(f"{method} {target}")
            if not target.endswith(("/ready", "/health")):
                self.heads.append(head)
            if self.hangs:
                await reader.read()
            elif self.drops and method == "POST":
                return
            elif "upgrade" in headers:
                await self._echo(headers["sec-websocket-key"], reader, writer)
            else:
                full = target.endswith("/ready") and not self.ready
                body = b"full" if full else self.name.encode()
                status = b"503 Service Unavailable" if full else b"200 OK"
                writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _echo(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"x-node: %s\r\nsec-websocket-accept: %s\r\n\r\n" % (self.name.encode(), accept)
        )
        while data := await reader.read(65536):
            writer.write(data)


class HAProxy:
    """One that runs, at `port`."""

    def __init__(self, folder: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.folder, self.port, self.process = folder, port, process
        self._sockets: list[Socket] = []

    async def reload(self, nodes: Sequence[Node]) -> None:
        """As `systemctl reload` does it."""
        write_configuration(self.folder, self.port, [node.server for node in nodes])
        self.process.send_signal(signal.SIGUSR2)

    async def ask(self, target: str, method: str = "POST", body: bytes = b"{}") -> tuple[int, str]:
        """One request on a connection of its own. Returns status and body; 0: the connection was closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = f"{method} {target} HTTP/1.1\r\nHost: phone.example\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
            answer = await reader.read()
        except ConnectionError:
            return 0, ""
        finally:
            writer.close()
        head, _, told = answer.decode().partition("\r\n\r\n")
        return (int(head.split(" ")[1]) if head else 0), told

    async def socket(self, target: str) -> Socket:
        """Open a WebSocket."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: phone.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert " 101 " in head.split("\r\n")[0], head
        node = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("x-node"))
        self._sockets.append(Socket(node, reader, writer))
        return self._sockets[-1]

    async def close(self) -> None:
        """Stop it, and close what was opened here."""
        for one in self._sockets:
            one.close()
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()


class Socket:
    """An open WebSocket; what is sent comes back."""

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node, self._reader, self._writer = node, reader, writer

    async def echo(self, data: bytes) -> bool:
        """Whether it comes back."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(5):
                return await self._reader.readexactly(len(data)) == data
        except (ConnectionError, asyncio.IncompleteReadError):
            return False

    def close(self) -> None:
        self._writer.close()


def program() -> str:
    """Its path. Skips where it is not installed; fails there in CI."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("HAProxy is not installed (Debian: haproxy), and CI=true")
        pytest.skip("HAProxy is not installed (Debian: apt install haproxy)")
    return found


def write_configuration(folder: Path, port: int, servers: Sequence[Server]) -> Path:
    """What is printed for these servers, without what only a system's own HAProxy has: its user and its folders."""
    text = configuration(servers, bind=f"127.0.0.1:{port}", certificate="")
    for line in ("user haproxy", "group haproxy", "chroot /var/lib/haproxy"):
        assert text.count(f"    {line}\n") == 1
        text = text.replace(f"    {line}\n", "")
    file = folder / "haproxy.cfg"
    file.write_text(text.replace("/run/haproxy/admin.sock", str(short_folder() / "admin.sock")), encoding="utf-8")
    return file


def short_folder() -> Path:
    """A folder for a Unix socket, whose path may have 97 characters for HAProxy: pytest's own may be longer."""
    return Path(tempfile.mkdtemp(prefix="ha"))


@asynccontextmanager
async def in_front_of(folder: Path, servers: Sequence[Server], port: int) -> AsyncIterator[HAProxy]:
    """Run HAProxy in front of these servers."""
    log = (folder / "haproxy.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        program(), "-W", "-f", str(write_configuration(folder, port, servers)),
        stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip
    the = HAProxy(folder, port, process)

    def listens() -> bool:
        assert process.returncode is None, (folder / "haproxy.log").read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        await until(listens, "HAProxy to listen")
        yield the
    finally:
        await the.close()
        log.close()


@asynccontextmanager
async def haproxy(folder: Path, nodes: Sequence[Node]) -> AsyncIterator[HAProxy]:
    """Run it in front of these nodes, which are started before and stopped at the end."""
    program()
    for node in nodes:
        await node.start()
    try:
        async with in_front_of(folder, [node.server for node in nodes], free_port()) as the:
            # As many checks as it takes until every server is known as it is.
            await until(lambda: all(len(node.requests) >= 2 for node in nodes), "HAProxy to look at every server")
            yield the
    finally:
        for node in nodes:
            await node.die()
