"""Pictures of the operators' page and a short film of it, made from calls of the sandbox: `scripts/tour [folder]`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, ViewportSize

from callflow.call.call import Call
from callflow.cli.demo.scenarios import TOOLS
from callflow.sandbox import voices
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.sandbox.openai_realtime.script import Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.browser import NARROW, browser
from tests.e2e.product import Product, product


FOLDER: Final = Path(__file__).parents[1] / "docs" / "console"
SIZE: Final[ViewportSize] = {"width": 1280, "height": 800}
CALLERS: Final = ("+12025550143", "+12025550187", "+12025550121")


@dataclass(frozen=True, slots=True)
class Desk(Script):
    """Greets, tells the opening hours, looks an order up, and so on."""

    heard_otherwise: str = "When are you open tomorrow?"

    def turn(self, number: int) -> Turn:
        """Return the model's turn with this number of a session."""
        turns = (
            Turn.voice("agent/greeting"),
            Turn.voice("agent/hours"),
            Turn.voice("agent/tomorrow"),
            Turn((ToolCall("track_order", {"order": "4711"}),)),
            Turn.voice("agent/order"),
        )
        return turns[number % len(turns)]


@contextlib.asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Product]:
    """The server with its emulators."""
    (folder / "tools.py").write_text(TOOLS, encoding="utf-8")
    settings: dict[str, Any] = {"record": True, "tools_file": str(folder / "tools.py"), "no_input_seconds": 0}
    realtime = Realtime(script=Desk(), keep_audio=False)
    carrier = Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_of_the_tour")
    async with product(carrier=carrier, realtime=realtime, **settings) as the:
        yield the


async def talked(the: Product, number: str, *, interrupts: bool = False) -> tuple[Call, Phone]:
    """A caller who asks for the hours, and may break in. Returns our side of the call, and the telephone."""
    phone = (await the.telnyx.ring(from_number=number)).phone
    await phone.hears(1.0, 20)
    await phone.hears_silence(900, 20)
    phone.say(voices.load("caller/hours"))
    await phone.spoken(10)
    await phone.hears(1.5 if interrupts else 0.5, 20)
    if interrupts:
        phone.say(voices.load("caller/interruption"))
        await phone.spoken(10)
        await phone.hears(1.0, 20)
    return next(call for call in the.app.switchboard.calls if call.describe()["from"] == number), phone


async def talks_on(phone: Phone) -> None:
    """Ask and be answered, for ever."""
    while True:
        await phone.hears_silence(900, 30)
        phone.say(voices.load("caller/hours"))
        await phone.spoken(10)
        await phone.hears(1.0, 30)


async def picture(page: Page, folder: Path, name: str) -> None:
    """Save what is seen."""
    await page.wait_for_timeout(600)
    await page.screenshot(path=folder / f"{name}.png", animations="disabled")
    print(f"{name}.png")


async def pictures(the: Product, folder: Path, live: Call) -> None:
    """One call and the live calls, light, dark and narrow."""
    looks: dict[str, dict[str, Any]] = {
        "light": {"color_scheme": "light", "viewport": SIZE},
        "dark": {"color_scheme": "dark", "viewport": SIZE},
        "narrow": {"color_scheme": "light", "viewport": NARROW},
    }
    async with browser() as opened:
        for look, options in looks.items():
            context = await opened.new_context(base_url=f"http://127.0.0.1:{the.app.console_at[1]}", **options)
            page = await context.new_page()
            await page.goto("/")
            await page.locator("cf-row").nth(2).wait_for()
            await picture(page, folder, f"live-{look}")
            if look != "narrow":
                await page.set_viewport_size({"width": SIZE["width"], "height": 1100})
            await page.goto(f"/#/calls/{live.id}")
            await page.locator(".turn.is-cut").first.wait_for()
            await picture(page, folder, f"call-{look}")
            await context.close()


FILM: Final = """async ({ frames, width, height }) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const options = { mimeType: "video/webm; codecs=vp9", videoBitsPerSecond: 3000000 };
  const recorder = new MediaRecorder(canvas.captureStream(10), options);
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const over = new Promise((resolve) => { recorder.onstop = resolve; });
  const images = await Promise.all(frames.map(async ({ data, at }) => {
    const image = new Image();
    image.src = `data:image/jpeg;base64,${data}`;
    await image.decode();
    return { image, at };
  }));
  recorder.start();
  const began = performance.now();
  for (const { image, at } of images) {
    await new Promise((resolve) => { setTimeout(resolve, Math.max(0, began + at - performance.now())); });
    canvas.getContext("2d").drawImage(image, 0, 0, width, height);
  }
  await new Promise((resolve) => { setTimeout(resolve, 1500); });
  recorder.stop();
  await over;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""
"""Plays frames (JPEG in base64, ms) on a canvas, which the browser records. Answers the film, in base64."""


async def scenes(page: Page, live: Call) -> None:
    """Go from the live calls into one of them, end it, look at what is left of it, and at the other pages."""
    await page.goto("/")
    await page.locator("cf-row").nth(2).wait_for()
    await page.wait_for_timeout(3000)
    await page.click(f'cf-row a[href*="{live.id}"]')
    await page.locator(".turn.is-cut").first.wait_for()
    await page.wait_for_timeout(3000)
    await page.fill("cf-step-in input >> nth=0", "Offer to take a message.")
    await page.click("cf-step-in >> text=Whisper")
    await page.wait_for_timeout(2500)
    await page.click("cf-actions >> text=Hang up…")
    await page.click("text=At once")
    await page.locator(".end").wait_for()
    await page.wait_for_timeout(2500)
    for _ in range(6):
        await page.keyboard.press("ArrowLeft")
        await page.wait_for_timeout(600)
    await page.locator("cf-ladder").scroll_into_view_if_needed()
    await page.wait_for_timeout(2500)
    for place, seen in (("history", "tbody tr"), ("health", "main h2")):
        await page.goto(f"/#/{place}")
        await page.locator(seen).first.wait_for()
        await page.wait_for_timeout(2500)


async def film(the: Product, folder: Path, live: Call) -> None:
    """Film the page."""
    frames: list[dict[str, Any]] = []
    async with browser() as opened:
        context = await opened.new_context(base_url=f"http://127.0.0.1:{the.app.console_at[1]}", viewport=SIZE)
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)

        async def take(frame: dict[str, Any]) -> None:
            frames.append({"data": frame["data"], "at": 1000 * frame["metadata"]["timestamp"]})
            await devtools.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

        devtools.on("Page.screencastFrame", take)
        await devtools.send("Page.startScreencast", {"format": "jpeg", "quality": 85, "everyNthFrame": 4})
        await scenes(page, live)
        await devtools.send("Page.stopScreencast")
        for frame in frames:
            frame["at"] -= frames[0]["at"] if frame is not frames[0] else 0
        frames[0]["at"] = 0
        studio = await context.new_page()
        made: str = await studio.evaluate(FILM, {"frames": frames, **SIZE})
        await context.close()
    (folder / "tour.webm").write_bytes(base64.b64decode(made))
    print("tour.webm")


async def main(folder: Path) -> None:
    """Make all of it."""
    with tempfile.TemporaryDirectory() as other:
        async with office(Path(other)) as the:
            (first, _), *others = await asyncio.gather(
                talked(the, CALLERS[0], interrupts=True), talked(the, CALLERS[1]), talked(the, CALLERS[2])
            )
            talking = [asyncio.create_task(talks_on(phone)) for _, phone in others]
            await pictures(the, folder, first)
            await film(the, folder, first)
            for task in talking:
                task.cancel()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
