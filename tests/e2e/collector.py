"""An OpenTelemetry collector that takes traces over OTLP/HTTP, and keeps them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    port: int = 0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """All spans of all requests."""
        parts = [scope for one in self.requests for resource in one.resource_spans for scope in resource.scope_spans]
        return [span for part in parts for span in part.spans]

    @property
    def resource(self) -> Mapping[str, object]:
        """The attributes of the server that has sent the first request."""
        return attributes(self.requests[0].resource_spans[0].resource.attributes)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.paths.append(first.split()[1])
                self.headers.append(headers)
                self.requests.append(ExportTraceServiceRequest.FromString(body))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def attributes(pairs: object) -> dict[str, object]:
    """Return attributes by name."""
    found: dict[str, object] = {}
    for pair in pairs:  # type: ignore[attr-defined]
        assert isinstance(pair, KeyValue)
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """Listen on a free port."""
    the = Collector()
    server = await asyncio.start_server(the.serve, "127.0.0.1", 0)
    the.port = server.sockets[0].getsockname()[1]
    try:
        yield the
    finally:
        server.close()
