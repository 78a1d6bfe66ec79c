"""Requests to the operators' port as a hostile or broken client sends them: byte for byte, each over its own socket."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import h11
import pytest


TOKEN: Final = "a-token-of-24-characters"
JSON: Final = (b"Content-Type", b"application/json")
FORM: Final = (b"Content-Type", b"application/x-www-form-urlencoded")
MCP: Final = ("/mcp", "/mcp/")
MCP_HEADERS: Final = (JSON, (b"Accept", b"application/json, text/event-stream"))
SECONDS: Final = 10.0
"""Nothing takes that long, whatever is sent."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Port:
    """The operators' listener of a running server."""

    port: int
    token: str = TOKEN

    async def listens(self) -> None:
        """Wait until somebody does."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.005)
                    continue
                writer.close()
                return

    async def ask(
        self,
        method: str,
        target: str | bytes,
        *,
        headers: Headers = (),
        body: bytes | None = None,
        host: Sequence[bytes] = (b"localhost",),
        tokens: Sequence[bytes] | None = None,
        after: bytes = b"",
    ) -> Answer:
        """`tokens`: the values of Authorization; None: the right one. `after`: bytes that no header tells of.

        Raises TimeoutError, h11.RemoteProtocolError."""
        given = ((b"Bearer " + self.token.encode(),) if self.token else ()) if tokens is None else tokens
        lines = [method.encode() + b" " + (target if isinstance(target, bytes) else target.encode()) + b" HTTP/1.1"]
        lines += [b"Host: " + each for each in host] + [b"Authorization: " + each for each in given]
        lines += [name + b": " + value for name, value in headers]
        if b"Connection" not in dict(headers):
            lines.append(b"Connection: close")
        if body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"\r\n".join([*lines, b"", (body or b"") + after]))
                return await _answer(reader, method)
            finally:
                writer.close()


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    parser = h11.Connection(h11.CLIENT)
    told = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "GET"
    parser.send(h11.Request(method=told, target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    start, body = None, b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            start = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed without an answer")
    assert start is not None
    headers = {name.decode().lower(): value.decode() for name, value in start.headers}
    return Answer(start.status_code, headers, body)


def faults_of(method: str, path: str, answer: Answer) -> list[str]:
    """What no answer may be."""
    found = []
    if answer.status >= 500:
        found.append(f"it is a fault of the server's: {answer.status}")
    text = (
        answer.body.decode("utf-8", "surrogateescape") if "audio" not in answer.headers.get("content-type", "") else ""
    )
    if _commands(text) - {"\n", "\r"}:
        found.append("it would do something to a terminal")
    if answer.status >= 400 and method != "HEAD":
        found += _faults_of_error(answer, speaks_rpc=path.startswith("/mcp"))
    return found


def _faults_of_error(answer: Answer, *, speaks_rpc: bool) -> list[str]:
    if answer.headers.get("content-type") != "application/json":
        return [f"the error is {answer.headers.get('content-type')}"]
    told = answer.json()
    if speaks_rpc and told.get("jsonrpc") == "2.0":
        error = told.get("error", {})
        return [] if isinstance(error.get("code"), int) and isinstance(error.get("message"), str) else ["no RPC error"]
    if not isinstance(told, dict) or not {"error"} <= set(told) <= {"error", "problems"}:
        return [f"the error has another shape: {answer.body[:100]!r}"]
    sentences = [told["error"], *told.get("problems", [])]
    wrong = [each for each in sentences if not _is_sentence(each)]
    return [f"the error is no sentence: {each!r}" for each in wrong]


def _is_sentence(told: Any) -> bool:
    """It may be printed when it is decoded, too."""
    return isinstance(told, str) and bool(told.strip()) and len(told) <= 300 and not _commands(told)


def _commands(text: str) -> set[str]:
    """What a terminal would obey, or what would change how a text looks."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs")}


class Log:
    """What was logged since it was looked at last."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog, self._seen = caplog, len(caplog.records)

    def faults(self) -> list[str]:
        new = self._caplog.records[self._seen :]
        self._seen = len(self._caplog.records)
        return [
            f"it is logged with a traceback, by {record.name}: {record.getMessage()[:200]} {record.exc_info}"
            for record in new
            if record.exc_info or "Traceback" in record.getMessage() or record.levelno >= logging.ERROR
        ]


def path_of(rule: str, part: str) -> str:
    """The rule's path, with that for each of its parts, percent-encoded unless it is so already."""
    encoded = part if "%" in part else quote(part, safe="+")
    return re.sub(r"<[^>]+>", lambda _: encoded, rule)
