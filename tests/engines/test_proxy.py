"""The way to the model leads over the proxy that the environment names, which is looked up once for each server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from websockets.proxy import get_proxy
from websockets.uri import WebSocketURI

from callflow.contracts.errors import HandshakeError
from callflow.engines.common import connection


def test_a_connection_goes_over_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    looked_up = 0

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    def counted(uri: WebSocketURI) -> str | None:
        nonlocal looked_up
        looked_up += 1
        return get_proxy(uri)

    async def main() -> None:
        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            monkeypatch.setenv("ws_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            for call in "first", "second":
                with pytest.raises(HandshakeError):
                    await connection.open_once(config, url=f"{config.address}?call_id={call}")

    monkeypatch.setattr(connection, "get_proxy", counted)
    config = SimpleNamespace(api_key="k", address="ws://model.example/v1/realtime", connect_seconds=5.0)
    asyncio.run(main())
    assert asked == [b"CONNECT model.example:80 HTTP/1.1\r\n"] * 2
    assert looked_up == 1
