"""How the emulated Twilio asks: signatures, connection overrides, retries, the ceiling, and its ways to misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from quart import Response
from twilio.request_validator import RequestValidator

from callflow.sandbox.twilio import Signer, Timing
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.webhooks import Overrides
from tests.sandbox.twilio_product import PUBLIC, STREAM, product, response


PARAMS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}


@pytest.mark.parametrize(
    ("url", "params", "wanted"),
    [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", PARAMS, "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
        ("https://mycompany.com/myapp#rc=2", PARAMS, "3KI2uRuYyAdhZIJXcpU0izDUzWI="),
        ("https://mycompany.com/myapp", {**PARAMS, "ToCity": "", "FromCity": ""}, "kKc46Mu2/26TioMwg8+CZNVqsEA="),
        ("wss://mycompany.com/media", {}, "okykUWKkAOgQseVjzERZh4soLeU="),
    ],
)
def test_signatures_are_those_of_the_documentation(url: str, params: dict[str, str], wanted: str) -> None:
    assert Signer("12345").sign(url, params) == {"X-Twilio-Signature": wanted}


def test_a_shared_key_signs_with_the_newer_hash() -> None:
    headers = Signer("not used", ("webhooks_sharedkey_1", "12345")).sign("https://mycompany.com/myapp", PARAMS)
    assert headers["X-Twilio-Signature"] == "DZLk0j72SR7j6hrLMtssvUYW5WJtKJ3BRyiR/jalJso="
    assert headers["X-Twilio-Webhooks-Signature-Settings"] == "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_it_sends_satisfies_the_vendors_validator(method: str) -> None:
    async with product("<Hangup/>") as the:
        the.twilio.number().voice_method = method
        call = await the.twilio.ring(Called='"><Hangup/>')
        await call.wait_ended()
        _, params, headers = the.asked[0]
        assert params["Called"] == '"><Hangup/>'
        url, signed = f"{PUBLIC}/voice", params
        if method == "GET":
            url, signed = f"{url}?{the.queries[0]}", {}
        assert RequestValidator(the.twilio.auth_token).validate(url, signed, headers["x-twilio-signature"])


@pytest.mark.parametrize("fragment", ["rc=6", "ct=50", "rt=x", "rp=6xx", "tt=20000"])
def test_overrides_that_do_not_exist_are_refused(fragment: str) -> None:
    with pytest.raises(TwimlError):
        Overrides.from_url(f"{PUBLIC}/voice#{fragment}")


def test_without_overrides_only_a_failed_connection_is_tried_again() -> None:
    usual = Overrides.from_url(f"{PUBLIC}/voice")
    assert (usual.retries, usual.connect_s, usual.read_s, usual.total_s) == (1, 5, 15, 15)
    assert [usual.retries_on(reason) for reason in ("ct", "rt", "4xx", "5xx", "")] == [True, *[False] * 4]
    everything = Overrides.from_url(f"{PUBLIC}/voice#rc=5&rp=all&ct=2000&rt=4000")
    assert [everything.retries_on(reason) for reason in ("ct", "rt", "4xx", "5xx", "")] == [*[True] * 4, False]
    assert (everything.retries, everything.connect_s, everything.read_s) == (5, 2, 4)


async def test_a_retry_carries_the_same_token_and_no_fragment() -> None:
    answers = [500, 503, response("<Say>At last.</Say>")]
    async with product("<Redirect>/again#rc=5&amp;rp=5xx</Redirect>", again=answers) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert call.spoken == ["At last."]
        attempts = [one for one in the.twilio.deliveries if "/again" in one.url]
        assert [one.attempt for one in attempts] == [1, 2, 3]
        assert len({one.token for one in attempts}) == 1
        assert all("#" not in headers["host"] for _, _, headers in the.asked)


async def test_nobody_waits_longer_than_the_ceiling() -> None:
    timing = Timing(webhook_ceiling_s=0.2, speak_s_per_char=0.001, retry_pause_s=0.01)
    async with product("<Redirect>/slow#rc=5&amp;rp=all</Redirect>", timing=timing, slow=30.0) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.errors] == [11200]
        spent = sum(one.latency or 0 for one in the.twilio.deliveries if "/slow" in one.url)
        assert 0.15 < spent < 1.0


async def test_a_chunked_document_is_not_trusted() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"<Response/>"

    async with product(voice=Response(parts(), content_type="text/xml")) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert "chunked" in call.errors[0][1]


async def test_the_faults_of_webhooks() -> None:
    async with product("<Say>Hello.</Say>") as the:
        faults = the.twilio.faults
        faults.webhook_duplicates["voice"] = 1
        faults.webhook_new_tokens["voice"] = 1
        faults.webhook_drop.append("status")
        call = await the.twilio.ring()
        await call.wait_ended()
        tokens = [headers["i-twilio-idempotency-token"] for path, _, headers in the.asked if path == "/voice"]
        assert (len(tokens), len(set(tokens))) == (3, 2)
        faults.webhook_duplicates.clear()
        faults.webhook_new_tokens.clear()
        faults.no_tokens = True
        faults.webhook_lose["voice"] = 1
        call = await the.twilio.ring()
        await call.wait_ended()
        assert "i-twilio-idempotency-token" not in the.asked[-1][2]
        assert "lost" in call.errors[0][1]
        assert not the.of("/status")


async def test_callbacks_about_the_stream() -> None:
    async with product(STREAM) as the:
        call = await the.twilio.ring()
        stream = await call.wait_streaming()
        await call.hang_up()
        await the.until(lambda: len(the.of("/stream")) == 2)
        assert sorted(one["StreamEvent"] for one in the.of("/stream")) == ["stream-started", "stream-stopped"]
        told = the.of("/stream")[0]
        assert (told["StreamSid"], told["StreamName"], told["CallSid"]) == (stream.stream_id, "one", call.sid)
        assert told["Timestamp"].endswith("Z")
