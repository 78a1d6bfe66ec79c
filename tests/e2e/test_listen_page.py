"""The page's player and microphone, in a browser with a microphone that beeps."""

from __future__ import annotations

import asyncio
import os

import pytest
from playwright.async_api import async_playwright

from callflow.media.listen_in_audio import ListenInAudio
from callflow.sandbox.common.phone import tone
from tests.e2e.browser import chromium, tab
from tests.e2e.product import until
from tests.e2e.several_nodes import cluster, member
from tests.e2e.talk import talk
from tests.e2e.test_live import stage


MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FAKE = [*MICROPHONE, "--autoplay-policy=no-user-gesture-required"]


async def test_the_page_plays_a_call_and_speaks_in_it_only_after_a_second_act() -> None:
    flags = [*FAKE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with stage(no_input_seconds=0) as the, async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=chromium(), args=flags)
        async with tab(opened, the.app.console_at[1]) as it:
            one = await talk(the)
            await it.page.goto("/")
            await it.page.click("cf-row a")
            await it.page.click("cf-listen >> text=Listen")
            await it.sees("cf-listen", "Stop listening")
            await until(lambda: the.happened("listen_in"), "the record of who listens")
            one.phone.say(tone(1500))
            meter, loud = it.page.locator("cf-listen meter[data-side='0']"), 0.0
            async with asyncio.timeout(10):
                while loud <= 0.05:
                    loud = await meter.evaluate("meter => meter.value")
            one.phone.say(tone(3000))
            await it.page.click("cf-listen label >> text=Caller")  # muted, while the caller goes on
            async with asyncio.timeout(2):
                while await meter.evaluate("meter => meter.value"):  # noqa: ASYNC110 - the page's own time
                    await asyncio.sleep(0.05)
            await it.page.click("cf-listen label >> text=Caller")
            async with asyncio.timeout(2):
                while await meter.evaluate("meter => meter.value") <= 0.05:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await it.page.click("cf-listen >> text=Hold to take over")  # a slip of the hand
            assert the.happened("take_over") == []
            button = it.page.locator("cf-listen >> text=Hold to take over")
            await button.hover()
            await it.page.mouse.down()
            await it.sees("cf-listen", "The caller hears you.")
            await it.page.mouse.up()
            await until(lambda: the.call.take_over.by, "the take-over")
            await until(lambda: len(set(one.heard()[-8000:])) > 8, "the caller to hear the microphone")
            await it.sees(".notice", "An operator has taken over")
            if folder := os.environ.get("LISTEN_PICTURES"):
                await asyncio.sleep(0.5)
                await it.page.screenshot(path=f"{folder}/listen.png")
            await it.page.click("cf-listen >> text=Give back")
            await it.sees(".notice", "The agent has the caller back")
            await it.sees("cf-listen", "Hold to take over")
            assert await it.page.locator("cf-listen .failed").count() == 0
        await opened.close()


@pytest.mark.one_node("it has nodes of its own")
async def test_who_listens_and_speaks_goes_on_when_the_call_moves_to_another_node() -> None:
    """The page said that the call was over, and the agent had the caller back."""
    flags = [*FAKE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with cluster() as the, async_playwright() as driver:
        await the.begin_two()
        one, two = the.nodes
        opened = await driver.chromium.launch(executable_path=chromium(), args=flags)
        async with tab(opened, one.console_at[1]) as it:
            call, _ = await the.answered()
            (before,) = one.switchboard.calls
            await it.page.goto(f"/#/calls/{before.id}")
            await it.page.click("cf-listen >> text=Listen")
            await it.sees("cf-listen", "Stop listening")
            button = it.page.locator("cf-listen >> text=Hold to take over")
            await button.hover()
            await it.page.mouse.down()
            await it.sees("cf-listen", "The caller hears you.")
            await it.page.mouse.up()
            assert not before.is_quiet, "it would be among the first to be moved"
            member(one).is_leaving = True
            assert one.moving is not None
            await one.moving.move_all(0.0)
            await until(lambda: two.switchboard.live(before.id) is not None, "the other node to have it")
            after = two.switchboard.live(before.id)
            assert after is not None
            await until(lambda: after.take_over.number == 1, "the operator to speak there")
            await call.phone.hears(0.05, timeout=10)  # the microphone's beep: the agent is muted
            await until(lambda: any(isinstance(tap, ListenInAudio) for tap in after.relay.taps), "the listener")
            assert after.take_over.by == "operator"
            assert after.requests.line.muted == ["agent"]
            await it.sees("cf-listen", "The caller hears you.")
            await it.page.click("cf-listen >> text=Give back")
            await it.sees("cf-listen", "Hold to take over")
            await it.sees("cf-listen", "Stop listening")
            assert await it.page.locator("cf-listen .failed").count() == 0
            await the.hang_up()
        await opened.close()
