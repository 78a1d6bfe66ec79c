"""Whatever a carrier repeats of our keys, and wherever: it is in no error and in no line of the log."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
import traceback
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import respx

from callflow.call.stream_tokens import StreamTokens
from callflow.contracts.commands import StartStream
from callflow.contracts.errors import CarrierError
from carriers.twilio.carrier import Twilio
from tests.carriers.product import BASE, CALL, CONTROL, ESCAPED, order, telnyx
from tests.configs import twilio_config


KEY = "KEY-of-the-tests"
TOKEN = "Zq9/token+of=twilio"
MINT = StreamTokens(bytes(32))
STREAM, SECRET = MINT.path_token(CALL, 1), MINT.header_token(CALL, 1)
TELNYX_ECHOES = {
    "the key": KEY,
    "the header": f"Authorization: Bearer {KEY}",
    "the key in base64": base64.b64encode(f"x{KEY}".encode()).decode(),
    "the stream's address": f"wss://app.test/media-stream/{STREAM}",
    "the stream's second secret": SECRET,
}
TWILIO_ECHOES = {
    "the token": TOKEN,
    "the header": "Basic " + base64.b64encode(f"AC1:{TOKEN}".encode()).decode(),
    "the token in an address": f"https://AC1:{quote(TOKEN, safe='')}@api.twilio.test",
    "the token behind a long text": "x" * 180 + TOKEN,
}


def telnyx_says(text: str) -> dict[str, httpx.Response]:
    return {
        "as a title": httpx.Response(422, json={"errors": [{"code": "10015", "title": text, "detail": ""}]}),
        "as a code": httpx.Response(422, json={"errors": [{"code": text, "title": "no"}]}),
        "as a detail": httpx.Response(422, json={"errors": [{"code": "10015", "title": "no", "detail": text}]}),
        "as text": httpx.Response(503, text=f"<html>{text}</html>"),
        "in a header": httpx.Response(401, json={"errors": []}, headers={"X-Echo": text}),
        "in unreadable JSON": httpx.Response(400, text=json.dumps({"errors": text})[:-2]),
    }


def words(error: BaseException) -> str:
    """All that can become known of an error."""
    code = error.code if isinstance(error, CarrierError) else ""
    return f"{error!r} {error} {code}" + "".join(traceback.format_exception(error))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carriers.common.http_client._wait", lambda state: 0.0)


@pytest.mark.parametrize("echo", TELNYX_ECHOES)
@respx.mock
def test_telnyx_repeats_a_secret(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        command = order(StartStream())
        asked = dataclasses.replace(command, stream_url=f"wss://app.test/media-stream/{STREAM}", stream_secret=SECRET)
        for way, response in telnyx_says(TELNYX_ECHOES[echo]).items():
            respx.post(f"{BASE}/calls/{ESCAPED}/actions/streaming_start").mock(return_value=response)
            carrier = telnyx()
            with pytest.raises(CarrierError) as caught:
                await carrier.execute(asked)
            await carrier.close()
            assert str(response.status_code) in str(caught.value), way
            said = words(caught.value) + caplog.text
            assert TELNYX_ECHOES[echo] not in said, way
            assert not any(secret in said for secret in (KEY, STREAM, SECRET)), way

    caplog.set_level(logging.DEBUG, "carriers")
    asyncio.run(main())


@pytest.mark.parametrize("echo", TWILIO_ECHOES)
@respx.mock
def test_twilio_repeats_a_secret(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        text = TWILIO_ECHOES[echo]
        for body in ({"code": 20003, "message": text}, {"code": text, "message": "no"}, {"message": [text]}):
            respx.get(url__startswith="https://twilio.test/").mock(return_value=httpx.Response(401, json=body))
            carrier = Twilio(twilio_config(account_sid="AC1", auth_tokens=[TOKEN], api_base="https://twilio.test"))
            with pytest.raises(CarrierError) as caught:
                await carrier.look_up("CA1")
            await carrier.close()
            said = words(caught.value) + caplog.text
            assert "401" in said
            assert not any(secret in said for secret in (TOKEN, TOKEN[:12], text)), said

    caplog.set_level(logging.DEBUG, "carriers")
    asyncio.run(main())


@respx.mock
async def test_a_key_that_is_tried_once_is_not_repeated_either() -> None:
    respx.get(f"{BASE}/x").mock(return_value=httpx.Response(401, json={"errors": [{"code": "1", "title": TOKEN}]}))
    carrier = telnyx()
    with pytest.raises(CarrierError) as caught:
        await carrier.api.request("GET", "/x", auth=("AC1", TOKEN))
    await carrier.close()
    assert TOKEN not in words(caught.value)


ERRORS: list[Any] = [
    httpx.ConnectError(f"no {KEY}"), httpx.RemoteProtocolError(f"illegal header line: {KEY}"), httpx.ProxyError(KEY),
    httpx.ReadTimeout(KEY), httpx.TooManyRedirects(KEY), httpx.DecodingError(KEY), httpx.UnsupportedProtocol(KEY),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
@respx.mock
def test_what_httpx_says_is_not_told_but_what_kind_of_error_it_is(
    error: httpx.HTTPError, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        respx.post(f"{BASE}/calls/{ESCAPED}/actions/streaming_start").mock(side_effect=error)
        carrier = telnyx()
        with pytest.raises(CarrierError, match=type(error).__name__) as caught:
            await carrier.execute(order(StartStream()))
        await carrier.close()
        assert KEY not in words(caught.value) + caplog.text

    caplog.set_level(logging.DEBUG, "carriers")
    asyncio.run(main())


def test_no_configuration_and_no_order_shows_a_key() -> None:
    twilio = twilio_config(
        account_sid="AC1", auth_tokens=[TOKEN], api_key="SK1", api_secret=TOKEN, shared_keys={"a": TOKEN}
    )
    assert TOKEN not in repr(twilio)
    assert KEY not in repr(telnyx()._config)
    asked = dataclasses.replace(order(StartStream()), stream_url=f"wss://x/{STREAM}", stream_secret=SECRET)
    assert STREAM not in repr(asked)
    assert SECRET not in repr(asked)


@respx.mock
async def test_other_errors_are_told_word_by_word() -> None:
    answer = httpx.Response(422, json={"errors": [{"code": "90018", "title": f"Call {CONTROL} has already ended"}]})
    respx.post(f"{BASE}/calls/{ESCAPED}/actions/streaming_start").mock(return_value=answer)
    carrier = telnyx()
    with pytest.raises(CarrierError, match=r"90018 Call .* has already ended"):
        await carrier.execute(order(StartStream()))
    await carrier.close()
