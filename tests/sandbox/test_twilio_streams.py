"""The emulated Twilio's streams in one direction: both tracks, beside the document, and nothing comes back on them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.sandbox.twilio_product import Product, product


async def start(the: Product, sid: str, **form: str) -> httpx.Response:
    return await the.rest("POST", f"/Calls/{sid}/Streams.json", data={"Url": "wss://app.test/listen", **form})


@pytest.mark.parametrize(
    ("form", "code"),
    [({"Track": "all"}, 20001), ({"Url": "https://app.test"}, 20001), ({"Bogus": "x"}, 20001)],
)
async def test_a_stream_is_refused_that_makes_no_sense(form: dict[str, str], code: int) -> None:
    async with product("<Pause length='60'/>") as the:
        call = await the.twilio.ring()
        call.answer()
        refused: Any = await start(the, call.sid, **form)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
        await call.hang_up()


async def test_a_call_that_is_not_answered_has_no_stream() -> None:
    async with product("<Pause length='60'/>") as the:
        call = await the.twilio.ring()
        refused = await start(the, call.sid)
        assert (refused.status_code, refused.json()["code"]) == (400, 21220)
        await call.hang_up()
