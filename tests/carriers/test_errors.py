"""What carriers say when they refuse a command: read as far as it is theirs, and never an internal error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from callflow.contracts.errors import CarrierError
from carriers.openai_sip import errors as openai
from carriers.telnyx import errors as telnyx
from carriers.twilio import errors as twilio


Read = Callable[[httpx.Response], CarrierError]
TELNYX, TWILIO, OPENAI = telnyx.read_error, twilio.read_error, openai.read_error


def read(of: Read, status: int, body: Any) -> CarrierError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return of(httpx.Response(status, content=content))


def of_telnyx(code: str, **more: Any) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": "No.", **more}]}


@pytest.mark.parametrize(
    ("of", "status", "body", "gone", "refuses", "code"),
    [
        (TELNYX, 422, of_telnyx("90018"), True, "", "90018"),
        (TELNYX, 404, of_telnyx("10005"), True, "", "10005"),
        (TELNYX, 403, of_telnyx("20100"), False, "account", "20100"),
        (TELNYX, 422, of_telnyx("90042"), False, "limit", "90042"),
        (TELNYX, 422, of_telnyx("1", source={"pointer": "/to"}), False, "number", "1"),
        (TELNYX, 422, of_telnyx("1", source={"parameter": "from"}), False, "account", "1"),
        (TELNYX, 422, of_telnyx("1", source=None), False, "", "1"),
        (TELNYX, 422, of_telnyx("1", source=[]), False, "", "1"),
        (TELNYX, 500, of_telnyx("90018"), False, "", "90018"),
        (TWILIO, 404, {"code": 20404, "message": "Not found.", "status": 404}, True, "", "20404"),
        (TWILIO, 400, {"code": 21220}, True, "", "21220"),
        (TWILIO, 429, {"code": 20429}, False, "limit", "20429"),
        (TWILIO, 401, {"code": 20003}, False, "account", "20003"),
        (TWILIO, 400, {"code": 21211}, False, "number", "21211"),
        (TWILIO, 404, {"status": 404}, True, "", ""),
    ],
)  # fmt: skip
def test_what_is_the_carriers_own_says_what_it_is_about(
    of: Read, status: int, body: Any, gone: bool, refuses: str, code: str
) -> None:
    error = read(of, status, body)
    assert (error.gone, error.refuses, error.code, error.status) == (gone, refuses, code, status)
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("of", [TELNYX, TWILIO])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>404</html>", b"\xff\xfe", b"[]", b"null", b"7", b'"text"', b"{}", b'{"errors": []}',
     b'{"errors": {}}',
     b'{"errors": [7]}', b'{"errors": null}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_not_the_carriers_own_says_nothing_about_the_call(of: Read, body: bytes) -> None:
    """A proxy that answers 404 has not ended the call."""
    for status in (404, 502):
        error = read(of, status, body)
        assert (error.gone, error.refuses, error.code) == (False, "", "")
        assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize(
    ("of", "body"),
    [
        (TELNYX, of_telnyx("c" * 9999, title="t" * 9999)), (TWILIO, {"code": "c" * 9999, "message": "t" * 9999}),
        (OPENAI, {"error": {"code": "c" * 9999, "param": "p" * 9999, "message": "t" * 9999}}),
    ],
    ids=["telnyx", "twilio", "openai"],
)  # fmt: skip
def test_a_long_refusal_is_told_in_short(of: Read, body: Any) -> None:
    error = read(of, 400, body)
    assert len(str(error)) < 500
    assert len(error.said) <= 300
    assert len(error.code) <= 200


@pytest.mark.parametrize(
    ("status", "body", "gone", "told"),
    [
        (404, b"", True, ""), (500, b"<html>", False, ""), (400, {"error": "no"}, False, ""),
        (400, {"error": {"code": "bad", "param": "voice", "message": "No."}}, False, " / bad voice"),
        (400, {"error": {"code": None, "param": 5}}, False, " / 5"), (400, b"[" * 100_000, False, ""),
    ],
)  # fmt: skip
def test_openai_says_which_parameter_is_wrong(status: int, body: Any, gone: bool, told: str) -> None:
    error = read(OPENAI, status, body)
    assert str(error) == f"OpenAI refused the command: HTTP {status}{told}"
    assert (error.gone, error.status) == (gone, status)
