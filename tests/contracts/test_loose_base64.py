"""Base64 without padding, with line breaks or in the URL-safe alphabet is read; nothing else is."""

from __future__ import annotations

import base64

import pytest

from callflow.contracts.loose_base64 import loosely_decoded


AUDIO = bytes(range(160))
WHOLE = base64.b64encode(AUDIO).decode()


@pytest.mark.parametrize(
    "payload",
    [
        WHOLE,
        WHOLE.rstrip("="),
        WHOLE[:76] + "\n" + WHOLE[76:],
        WHOLE[:76] + "\r\n" + WHOLE[76:] + "\r\n",
        f" {WHOLE} ",
        base64.urlsafe_b64encode(AUDIO).decode(),
        base64.urlsafe_b64encode(AUDIO).decode().rstrip("="),
        base64.encodebytes(AUDIO).decode(),
    ],
)
def test_what_can_be_read_is_read(payload: str) -> None:
    assert loosely_decoded(payload) == AUDIO


@pytest.mark.parametrize("payload", ["A", "A===", "AA!A", "ä", "=AAA", "A=AA", "\ud800AAA"])
def test_what_is_no_base64_is_none(payload: str) -> None:
    assert loosely_decoded(payload) is None
