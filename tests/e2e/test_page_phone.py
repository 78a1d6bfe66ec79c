"""The phone in the operators' page, as `serve` has it: a browser with a voice as its microphone rings the server, and
hears it."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from callflow.cli.phone_line import phone_line
from callflow.journal import notes
from callflow.media.g711 import ulaw_to_pcm16
from callflow.sandbox import voices
from callflow.sandbox.common.phone import SILENT_FRAME, is_loud
from callflow.sandbox.common.softphone import Softphone
from tests.e2e.browser import browser, tab
from tests.e2e.product import product, until


TOKEN = "a-token-of-the-operators-1"


def record(path: Path, ulaw: bytes) -> None:
    """Write what somebody says into the microphone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(ulaw_to_pcm16(ulaw))


async def test_a_browser_rings_is_answered_breaks_in_hangs_up_and_is_in_the_history(tmp_path: Path) -> None:
    microphone = tmp_path / "voice.wav"
    record(microphone, SILENT_FRAME * 150 + voices.load("caller/hours") + SILENT_FRAME * 250)  # again and again
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    )
    profiles = {"bakery": {"numbers": ["+15550100042"], "instructions": "Sell bread."}}
    async with (
        product(beside=phone_line, profiles=profiles) as the,
        browser(*flags) as opened,
        tab(opened, the.app.console_at[1]) as it,
    ):
        line: Any = the.app.phone
        await it.page.goto("/")
        await it.page.click(".phone-open")
        await it.page.select_option(".phone select[name='to']", "+15550100042")
        await it.page.get_by_role("button", name="Ring this server").click()
        await it.sees('.phone[data-state="talking"]')
        await it.page.locator('cf-phone[data-heard="yes"]').wait_for(timeout=10_000)  # it has come out of the speaker
        (call,) = line.line.exchange.calls.values()
        await it.sees(".phone .beside", "bakery")

        await it.page.get_by_role("button", name="5", exact=True).click()
        await it.sees(".phone", "5")
        await until(lambda: any("pressed 5" in what for _, what in call.history), "the key", 10)

        await it.page.get_by_role("link", name="Watch this call").click()
        await it.sees("cf-call")
        await it.sees("cf-call", "Hello, thank you for calling.")
        await until(lambda: the.happened(notes.Interrupted.kind), "the voice to break in", 30)

        await it.page.get_by_role("button", name="Hang up", exact=True).click()
        await it.sees('.phone[data-state="over"]')
        await until(lambda: not the.app.switchboard.calls, "the call to be over", 10)
        assert call.ended_by == "caller"
        await it.page.goto("/#/history")
        await it.sees("cf-history", call.from_number)
        (seen,) = await the.app.history.store.newest_calls(5)
        assert (seen["carrier"], seen["phone_number"]) == ("phone", "+15550100042")


BAR = "document.querySelector('.bar').getBoundingClientRect().height"
COVERED = """[...document.querySelectorAll(".phone button, .phone a")].filter((each) => {
  if (!each.offsetParent) return false;
  const { x, y, width, height } = each.getBoundingClientRect();
  return !each.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}).map((each) => each.textContent.trim())"""


async def test_a_call_on_the_phone_does_not_move_the_page_and_nothing_covers_its_buttons() -> None:
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    async with (
        product(beside=phone_line, console_token=TOKEN) as the,
        browser(*flags) as opened,
        tab(opened, the.app.console_at[1], viewport={"width": 1280, "height": 800}) as it,
    ):
        await it.page.goto("/")
        await it.page.fill("input[name=token]", TOKEN)
        await it.page.keyboard.press("Enter")
        await it.sees(".bar", "Sign out")
        height = await it.page.evaluate(BAR)
        await it.page.click(".phone-open")
        await it.page.get_by_role("button", name="Ring this server").click()
        await it.sees('.phone[data-state="talking"]')
        assert await it.page.evaluate(BAR) == height
        await it.page.get_by_role("link", name="Watch this call").click()
        await it.sees("cf-cursor .cursor")
        assert await it.page.evaluate(COVERED) == []
        await it.page.get_by_role("button", name="Hang up", exact=True).click()
        await until(lambda: not the.app.switchboard.calls, "the call to be over", 10)


async def test_a_socket_that_is_lost_hangs_up_and_no_other_server_has_a_phone() -> None:
    async with product() as the:
        address = f"ws://127.0.0.1:{the.app.console_at[1]}/api/phone"
        async with connect(address) as socket:
            with pytest.raises(ConnectionClosed, match="1008"):
                await socket.recv()
        the.app.phone = Softphone(the.carrier)
        async with connect(address) as socket:
            assert json.loads(await socket.recv())["type"] == "ringing"
            loud = 0
            while loud < 20:
                message = await socket.recv()
                loud += isinstance(message, bytes) and is_loud(message)
        call = the.carrier_call()
        await call.wait_ended(10)
        assert call.ended_by == "caller"
