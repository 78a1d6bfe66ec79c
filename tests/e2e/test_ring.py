"""`sandbox telnyx|twilio --target URL`: somebody's server is rung as a carrier would, and what it did is reported."""

from __future__ import annotations

import re
import socket

import pytest

from callflow.cli import ring
from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.openai_realtime.script import Pace, Script
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.product import product


GREETS = b"<Response><Say>Hello</Say><Hangup/></Response>"


async def test_a_call_to_our_own_server_is_answered_and_ends_as_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    carrier = Telnyx(webhook_url="http://127.0.0.1:9/webhooks", signing="key")
    model = Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with product(carrier=carrier, realtime=model) as the:
        how = ring.Ring(carrier.webhook_url, "telnyx", voice=tone(400), seconds=2.5)
        assert await ring.ring(the.telnyx, how), capsys.readouterr().out
        await the.quiet()
    said = capsys.readouterr().out
    for part in (
        "webhook call.initiated: HTTP 200",
        "request POST …/answer: HTTP 200",
        "the caller speaks",
        "the caller hears the first sound",
    ):
        assert part in said
    told = r"Answered after \d\.\d+ s, first sound \d\.\d\d s after that, an answer \d\.\d+ s .* the caller hung up\."
    assert re.search(told, said), said
    assert said.endswith("Nothing was wrong.\n")


async def rung(status: int, body: bytes, capsys: pytest.CaptureFixture[str], **options: str) -> tuple[bool, str]:
    """Ring a server of a few lines as Twilio. Returns whether all was well, and the report."""

    async def handle(_request: Request) -> Response:
        return Response(status, body, {"content-type": "text/xml"})

    tasks = Tasks()
    server = HttpServer(handle, "127.0.0.1", 0, tasks)
    await server.start()
    try:
        how = ring.Ring(f"http://127.0.0.1:{server.port}/voice?x=1", "twilio", seconds=5)
        return await ring.ring_twilio(how, port=0, **options), capsys.readouterr().out
    finally:
        await server.close()
        await tasks.close()


async def test_a_document_that_greets_and_hangs_up_is_a_call_that_went_well(capsys: pytest.CaptureFixture[str]) -> None:
    well, said = await rung(200, GREETS, capsys, auth_token="secret-of-theirs", public_url="https://phone.example")
    assert well, said
    assert "<Say>, <Hangup>" in said
    assert "TWILIO_AUTH_TOKEN=secret-of-theirs" in said
    assert "the server hung up." in said


async def test_a_refused_signature_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    well, said = await rung(403, b"", capsys)
    assert not well
    assert "--public-url" in said.rpartition("\n- webhook voice")[2], said


async def test_a_server_that_does_not_call_the_carrier_is_told_which_setting_it_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "ANSWER_SECONDS", 0.5)
    tasks = Tasks()

    async def handle(_request: Request) -> Response:
        return Response(200)

    server = HttpServer(handle, "127.0.0.1", 0, tasks)
    await server.start()
    try:
        target = f"http://127.0.0.1:{server.port}/webhooks"
        assert not await ring.ring_telnyx(ring.Ring(target, "telnyx"), port=0)
    finally:
        await server.close()
        await tasks.close()
    said = capsys.readouterr().out
    assert "TELNYX_API_BASE as printed above" in said
    keys = re.findall(r"TELNYX_PUBLIC_KEY=(\S+)", said)
    assert keys == [Telnyx(webhook_url="http://127.0.0.1:9/", signing="KEY_sandbox_telnyx").public_key], "a new key"


async def test_nobody_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert not await ring.ring_twilio(ring.Ring(f"http://127.0.0.1:{port}/voice", "twilio"), port=0)
    assert "start the server there, or correct --target" in capsys.readouterr().out
