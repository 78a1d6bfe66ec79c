"""What a node takes from the others: signed requests alone, each led to the app that it is for, and what it answers.

Requests that go through from node to node are told in test_between_nodes.py.
"""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from callflow.cluster import signing
from callflow.cluster.forwarding import CLUSTER, CONSOLE, FROM, KEYS, PUBLIC
from callflow.cluster.node_paths import FORWARDED
from callflow.contracts.media import HandoverInput
from callflow.switchboard.dialling_elsewhere import PATH as DIAL
from callflow.web import cluster_listener
from callflow.web.cluster_listener import bind, create_cluster_app
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import Seats
from tests.in_loop import in_loop
from tests.web.asgi import Answer, ask, scope


SECRET = b"s" * 32
NOW = 1_700_000_000.0
CALL = "11111111-1111-4111-8111-111111111111"


class Stage:
    """A node that notes what it is told. `taken`: which calls of those it is given it has; None: it does not know."""

    takes_over = True

    def __init__(self, folder: Path) -> None:
        self.recordings = folder
        self.done: list[Any] = []
        self.taken: list[str] | None = [CALL]
        self.seats = Seats()
        self.seen: list[dict[str, Any]] = []
        live = cast(LiveService, SimpleNamespace(node_seats=self.seats))
        self.app: Any = create_cluster_app(
            self, SECRET, {PUBLIC: self._inner, CONSOLE: self._inner}, self._take, live, self, self._dial,
            lambda call: call == CALL, self._words, now=lambda: NOW,
            met=lambda node, told: {"met": told},
        )  # fmt: skip

    async def look_again(self) -> None:
        self.done.append("looked")

    async def forget(self, files: Sequence[str], calls: Sequence[str]) -> None:
        self.done.append((list(files), list(calls)))

    async def _take(self, calls: list[str], giver: str) -> list[str] | None:
        self.done.append((giver, calls))
        return self.taken

    async def _dial(self, body: bytes) -> tuple[dict[str, Any], int]:
        return {"said": body.decode()}, 409

    async def _words(self, call: str) -> HandoverInput:
        return HandoverInput(b"\x00\xff", "1#") if call == CALL else HandoverInput()

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        body = (await receive())["body"] if scope["type"] == "http" else b""
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def ask(self, method: str, target: str, body: bytes = b"", *, key: bytes = SECRET, **headers: Any) -> Answer:
        """As another node asks, with its signature."""
        signed = {signing.HEADER.replace("-", "_"): signing.sign(key, NOW, method, target, body)}
        return await ask(self.app.asgi_app, method, target, body=body, **{**signed, **headers})


def told(**said: Any) -> bytes:
    return msgspec.json.encode(said)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("GET", "/state", b"", 200, {"database": True}),
        ("POST", "/nodes", b"", 200, {"ok": True, "met": None}),
        ("POST", "/nodes", b'{"carriers": []}', 200, {"ok": True, "met": {"carriers": []}}),
        ("POST", "/calls", told(calls=[CALL, "x"]), 200, {"taken": [CALL]}),
        ("GET", f"/calls/{CALL}", b"", 200, {"live": True}),
        ("GET", "/calls/x", b"", 200, {"live": False}),
        ("POST", DIAL, b"{}", 409, {"said": "{}"}),
        ("GET", "/recordings/here.wav", b"", 200, {"here": True}),
        ("GET", "/recordings/gone.wav", b"", 200, {"here": False}),
        ("GET", "/recordings/..", b"", 200, {"here": False}),
        ("GET", "/recordings/a%00b", b"", 200, {"here": False}),
        ("POST", "/recordings/delete", told(files=["a.wav"], calls=[CALL]), 200, {"ok": True}),
        ("POST", "/recordings/delete", told(files=["a.wav"]), 200, {"ok": True}),
    ],
)
@in_loop
async def test_what_a_node_asks_and_tells(
    tmp_path: Path, method: str, path: str, body: bytes, status: int, answer: dict[str, Any]
) -> None:
    (tmp_path / "here.wav").touch()
    stage = Stage(tmp_path)
    giver: dict[str, Any] = {FROM.replace("-", "_"): "w1"}
    found = await stage.ask(method, f"/{CLUSTER}{path}", body, **giver)
    assert (found.status, found.json()) == (status, answer)
    if "calls" in path and method == "POST":
        assert stage.done == [("w1", [CALL, "x"])]
    if "delete" in path:
        assert stage.done == [(["a.wav"], [CALL] if b"calls" in body else [])]


@pytest.mark.parametrize("path", ["/calls", "/recordings/delete"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"calls": 1, "files": 1}', b"{}", b"\xff"])
@in_loop
async def test_what_cannot_be_read_does_nothing(tmp_path: Path, path: str, body: bytes) -> None:
    stage = Stage(tmp_path)
    assert (await stage.ask("POST", f"/{CLUSTER}{path}", body)).status == 400
    assert stage.done == []


@in_loop
async def test_what_a_node_does_not_know_yet_is_asked_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.taken = None
    assert (await stage.ask("POST", f"/{CLUSTER}/calls", told(calls=[CALL]))).status == 503
    stage.seats.is_closed = True
    for path in ("/live", "/logs"):
        assert (await stage.ask("GET", f"/{CLUSTER}{path}")).status == 503
    words = await stage.ask("POST", f"/{CLUSTER}/calls/{CALL}/last-words")
    assert (words.body, words.headers["content-type"]) == (b"\x00\xff", "application/octet-stream")
    assert words.headers[KEYS] == "1#"


@in_loop
async def test_a_request_for_another_app_is_led_there_without_what_only_nodes_say(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    forged: dict[str, Any] = {FROM.replace("-", "_"): "w1", "x_other": "y"}
    answer = await stage.ask("POST", f"/{PUBLIC}/web%68ooks?a=1", b"{}", **forged)
    assert (answer.status, answer.body) == (201, b"{}")
    (seen,) = stage.seen
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/web%68ooks", b"/web%68ooks", b"a=1")
    assert seen[FORWARDED] == "w1"
    assert {name for name, _ in seen["headers"]} == {b"host", b"x-other"}
    await stage.ask("GET", f"/{CONSOLE}/api/{PUBLIC}/x")
    assert (stage.seen[1]["path"], stage.seen[1][FORWARDED]) == (f"/api/{PUBLIC}/x", "?")


@pytest.mark.parametrize(
    ("target", "more"),
    [
        (f"/{PUBLIC}/x", {"key": b"x" * 32}), ("/nobody/x", {}), ("/", {}), (f"//{PUBLIC}/x", {}),
        (f"/{CLUSTER}/state", {signing.HEADER.replace("-", "_"): ""}),
        (f"/{CLUSTER}/state", {signing.HEADER.replace("-", "_"): "nonsense"}),
    ],
)  # fmt: skip
@in_loop
async def test_what_is_not_signed_or_for_no_app_is_refused(tmp_path: Path, target: str, more: dict[str, Any]) -> None:
    stage = Stage(tmp_path)
    answer = await stage.ask("GET", target, **more)
    assert (answer.status, answer.json()) == (403, {"error": "not signed by a node of this cluster"})
    assert stage.seen == []


@in_loop
async def test_a_signature_is_for_one_target_and_one_body(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    signed = signing.sign(SECRET, NOW, "POST", f"/{PUBLIC}/a", b"{}")
    for path, body in (("a", b"[]"), ("a", b"{"), ("b", b"{}"), ("a?x", b"{}")):
        answer = await ask(stage.app.asgi_app, "POST", f"/{PUBLIC}/{path}", body=body, **{signing.HEADER: signed})
        assert answer.status == 403, (path, body)
    pieces = [b"{", b"", b"}"]
    assert (
        await ask(stage.app.asgi_app, "POST", f"/{PUBLIC}/a", body=pieces, **{signing.HEADER: signed})
    ).status == 201


@in_loop
async def test_no_body_of_a_stranger_is_read_and_no_more_than_was_signed(tmp_path: Path) -> None:
    gate, sent = Stage(tmp_path).app.asgi_app, list[dict[str, Any]]()

    async def receive() -> Any:
        pytest.fail("the body is read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    forged = signing.sign(b"x" * 32, NOW, "POST", f"/{PUBLIC}/a", b"{}")
    await gate(scope("POST", f"/{PUBLIC}/a", [(signing.HEADER, forged)]), receive, send)
    assert sent[0]["status"] == 403
    short = signing.sign(SECRET, NOW, "POST", f"/{PUBLIC}/a", b"{}")
    assert (await ask(gate, "POST", f"/{PUBLIC}/a", body=[b"{}", b"x" * 100], **{signing.HEADER: short})).status == 403


@in_loop
async def test_a_body_that_stops_or_breaks_off_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_listener, "_BODY_SECONDS", 0.02)
    stage = Stage(tmp_path)
    signed = signing.sign(SECRET, NOW, "POST", f"/{PUBLIC}/a", b"{}")

    async def never() -> Any:
        await asyncio.Event().wait()

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    for receive in (never, gone):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        await stage.app.asgi_app(scope("POST", f"/{PUBLIC}/a", [(signing.HEADER, signed)]), receive, send)
        assert sent[0]["status"] == 403
    assert stage.seen == []


@pytest.mark.parametrize("key", [SECRET, b"x" * 32], ids=["signed", "of a stranger"])
@in_loop
async def test_a_websocket_is_let_in_with_a_signature_alone(tmp_path: Path, key: bytes) -> None:
    stage, sent = Stage(tmp_path), list[Any]()

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    signed = signing.sign(key, NOW, "GET", f"/{CONSOLE}/logs", b"")
    asked = scope("GET", f"/{CONSOLE}/logs", [(signing.HEADER, signed)], "websocket")
    await stage.app.asgi_app(asked, receive, send)
    if key == SECRET:
        assert [each["path"] for each in stage.seen] == ["/logs"]
    else:
        assert (sent, stage.seen) == ([{"type": "websocket.close", "code": 1008}], [])


# The socket


def test_a_unix_socket_is_this_users_alone_and_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    path = tmp_path / "cluster" / "w1.sock"
    for _ in range(2):
        with bind(f"unix:{path}") as bound:
            bound.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
        assert path.exists(), "as a process leaves it that is killed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("address", "family"), [("http://127.0.0.1:0", socket.AF_INET), ("http://[::1]:0", socket.AF_INET6)]
)
def test_an_address_of_a_network_is_bound_as_it_stands(address: str, family: int) -> None:
    try:
        bound = bind(address)
    except OSError:
        assert family == socket.AF_INET6
        pytest.skip("this machine has no IPv6")
    with bound:
        assert (bound.family, bound.getsockname()[1] > 0) == (family, True)


def test_a_path_that_is_too_long_or_no_folders_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / ("x" * 120) / "w1.sock", tmp_path / "file" / "w1.sock"):
        with pytest.raises(OSError):  # noqa: PT011 - of any kind
            bind(f"unix:{path}")
