"""The sound of a call in its page: a waveform whose cursor is the moment of the page, played from our recordings."""

from __future__ import annotations

import asyncio
import os

import pytest

from callflow.sandbox.common.phone import tone
from callflow.web.console.static_files import load
from tests.e2e.browser import NARROW, Tab, browser, tab
from tests.e2e.product import Product, product
from tests.e2e.talk import talk
from tests.e2e.test_recording import MODEL, model


AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
WATCHED = """
addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective));
const play = AudioContext.prototype.createMediaElementSource;
AudioContext.prototype.createMediaElementSource = function (sound) {
  window.sound = sound;
  return play.call(this, sound);
};
const make = AudioContext.prototype.createChannelMerger;
AudioContext.prototype.createChannelMerger = function (count) {
  const merger = make.call(this, count), splitter = this.createChannelSplitter(2);
  merger.connect(splitter);
  window.heard = [0, 1].map((side) => {
    const analyser = this.createAnalyser();
    splitter.connect(analyser, side);
    return analyser;
  });
  return merger;
};
window.loudness = () => window.heard.map((each) => {
  const samples = new Float32Array(each.fftSize);
  each.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
});
"""
"""Tells what the policy of the page refuses, and measures what comes out of its player."""


async def shown(it: Tab) -> float:
    """Where the cursor stands, in seconds since the call began."""
    return float(await it.page.locator(".sound-seek").evaluate("slider => Number(slider.value)"))


async def moment(it: Tab, change: str = "") -> float | None:
    """The moment of the page, which may be set before."""
    found: float | None = await it.page.evaluate(
        f"import('/static/{load().digest}/moment.js').then(({{ moment }}) => {{ {change}; return moment.at; }})"
    )
    return found


async def stands(it: Tab, at: float) -> None:
    async with asyncio.timeout(10):
        while abs(await shown(it) - at) > 0.06:  # noqa: ASYNC110 - the page's own time
            await asyncio.sleep(0.02)


async def follows(it: Tab, begins: float, seconds: float) -> None:
    """Wait until so much of a recording was played; cursor and page must then stand where the sound is, which on a
    busy machine does not keep up with the clock. `begins`: its place in the call."""
    where = f"""import('/static/{load().digest}/moment.js').then(({{ moment }}) => [
        window.sound.currentTime, Number(document.querySelector('.sound-seek').value), moment.at,
    ])"""
    async with asyncio.timeout(10):
        while True:
            heard, cursor, page = await it.page.evaluate(where)
            if heard > seconds and max(abs(cursor - begins - heard), abs(page - begins - heard)) < 0.15:
                return
            await asyncio.sleep(0.01)


async def loud(it: Tab, *sides: bool) -> None:
    """Wait until just these sides, caller and agent, are heard."""
    async with asyncio.timeout(10):
        while [each > 0.01 for each in await it.page.evaluate("loudness()")] != list(sides):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def spoken(the: Product, it: Tab) -> str:
    """Let a call be made while its page is looked at. Returns its id."""
    one = await talk(the)
    name = the.call.id
    await it.page.goto(f"/#/calls/{name}")
    await it.sees("cf-sound .sound-bar")  # while the call goes on
    one.phone.say(tone(1500))
    await one.phone.spoken()
    await one.phone.hears(0.7)
    await one.call.hang_up()
    await it.sees(".end")
    await the.quiet()
    return name


async def test_the_sound_is_drawn_and_played_and_its_cursor_is_the_moment_of_the_page() -> None:
    async with (
        product(realtime=model(2000, 2000), record=True, console_token="", **MODEL) as the,
        browser(AUTOPLAY) as opened,
        tab(opened, the.app.console_at[1]) as it,
    ):
        await it.page.add_init_script(WATCHED)
        name = await spoken(the, it)
        journal = the.app.journal.read(name)
        began, recorded = journal[0].at, next(each.at for each in journal if each.name == "recording")
        speaks = next(each.at for each in journal if each.name == "agent_speaks") - began
        await it.page.reload()
        await it.sees("cf-sound .sound-bar")
        await it.sees(".wave [part=wrapper] canvas")

        await it.sees(".wave [part^=marker]")  # the agent was cut off

        # It plays, and the cursor goes with it.
        await moment(it, f"moment.set({recorded - began + 0.01}, 'test')")
        await stands(it, recorded - began)
        await it.page.keyboard.press(" ")
        await it.sees("cf-sound", "Pause")
        await loud(it, False, True)
        await follows(it, recorded - began, 0.5)
        await it.page.keyboard.press(" ")
        await it.sees("cf-sound", "Play")

        # Somebody else sets the moment; a click in the waveform sets it, too.
        await moment(it, f"moment.set({speaks + 0.5}, 'transcript')")
        await stands(it, speaks + 0.5)
        box = await it.page.locator(".wave").bounding_box()
        assert box is not None
        length = float(await it.page.locator(".sound-seek").evaluate("slider => Number(slider.max)"))
        await it.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
        await stands(it, length / 2)
        assert await moment(it) == pytest.approx(length / 2, abs=0.06)

        # Each side can be muted.
        await moment(it, f"moment.set({speaks + 0.2}, 'test')")
        await it.page.click("cf-sound >> text=Play")
        await loud(it, False, True)
        await it.page.click("cf-sound label >> text=Agent")
        await loud(it, False, False)
        await it.page.click("cf-sound >> text=Pause")
        for options in ({}, {"viewport": NARROW}, {"color_scheme": "dark"}):
            async with tab(opened, the.app.console_at[1], **options) as other:
                await other.page.goto(f"/#/calls/{name}")
                await other.sees(".wave [part=wrapper] canvas")
                assert await other.is_as_wide_as_its_window()
                if folder := os.environ.get("SCREENSHOTS"):
                    await other.page.screenshot(path=f"{folder}/{'-'.join(map(str, options)) or 'wide'}.png")
        await it.page.goto("/#/history")
        await it.sees("tbody .recorded")
        await it.page.click("tbody a")
        await it.sees("cf-sound .sound-bar")
