"""Secrets that a stranger may guess at are compared whole, in a time that does not tell how much of them was right."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from callflow.call.stream_tokens import StreamTokens
from callflow.contracts import errors
from callflow.contracts.control import Checks
from callflow.contracts.errors import Forged, Refused
from callflow.web.console import policy
from carriers.twilio.signature import Verifier, _text, parameters, sign
from tests.carriers.twilio_product import request
from tests.e2e.media_socket import media_socket, ring_by_hand
from tests.e2e.product import product, run
from tests.web.console import stage
from tests.web.console.stage import Stage


Pairs = list[tuple[bytes, bytes]]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Pairs:
    """What was compared in constant time."""
    pairs: Pairs = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        pairs.append((bytes(one), bytes(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return pairs


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


def _stream_token() -> tuple[bytes, bytes]:
    mint = StreamTokens(bytes(32))
    right = mint.path_token(CALL, 1)
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    with pytest.raises(Refused):
        mint.read(wrong)
    return wrong.encode(), right.encode()


def _operators_token() -> tuple[bytes, bytes]:
    door = policy.AccessPolicy("localhost", "the-right-token-of-operators")
    with pytest.raises(errors.AccessRefused):
        door.check([(b"host", b"localhost"), (b"authorization", b"Bearer a-wrong-token")], "GET", "/")
    return b"a-wrong-token", b"the-right-token-of-operators"


def _twilio_signature() -> tuple[bytes, bytes]:
    wrong = "A" * 27 + "="
    asked = request(headers={"x-twilio-signature": wrong})
    with pytest.raises(Forged):
        Verifier(["the-right-token"]).check(asked)
    return wrong.encode(), sign(b"the-right-token", asked.url.encode() + _text(parameters(asked))).encode()


def _control_secret() -> tuple[bytes, bytes]:
    assert not Checks(secret="the-right-secret").allow({"authorization": "Bearer a-wrong-secret"}, b"", 0)
    return b"a-wrong-secret", b"the-right-secret"


def _control_signature() -> tuple[bytes, bytes]:
    headers = {"x-openai-signature": "0" * 64, "x-openai-timestamp": "1"}
    assert not Checks(signing="the-right-secret").allow(headers, b"{}", 1)
    return bytes(32), hmac.digest(b"the-right-secret", b"1.{}", "sha256")


@pytest.mark.parametrize(
    "what", [_stream_token, _operators_token, _twilio_signature, _control_secret, _control_signature]
)
def test_a_secret_is_compared_whole_and_in_constant_time(
    what: Callable[[], tuple[bytes, bytes]], compared: Pairs
) -> None:
    given, right = what()
    assert {given, right} in [set(pair) for pair in compared]


def test_so_is_that_of_a_link_to_a_call(compared: Pairs, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        link = (await the.send("POST", f"/api/calls/{stage.CALL}/share")).json()["url"]
        compared.clear()
        wrong = link[:-1] + ("0" if link[-1] != "0" else "1")
        assert (await the.get(wrong)).status == 404
        right, given = (hashlib.sha256(each.partition("-")[2].encode()).hexdigest().encode() for each in (link, wrong))
        assert {right, given} in [set(pair) for pair in compared]

    stage.play(tmp_path, main)


def test_so_is_the_secret_of_a_media_stream(compared: Pairs) -> None:
    async def main() -> None:
        async with product() as the:
            call, url = await ring_by_hand(the)
            async with media_socket(url, call.control_id) as socket:
                await socket.send({"event": "connected", "connected": {"x-telnyx-streaming-auth-token": "guessed"}})
                await socket.closed()

    run(main())
    assert [len(other) for pair in compared if b"guessed" in pair for other in pair if other != b"guessed"] == [43]
