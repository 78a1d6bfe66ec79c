"""A real call on the operators' page: two watch it from different moments on, and one ends it; and the page comes back
with its server."""

from __future__ import annotations

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Realtime, Script, Turn
from tests.e2e.browser import Tab, browser, tab
from tests.e2e.product import product, until
from tests.e2e.talk import FAST, noise, saying, talk
from tests.e2e.test_survival import office
from tests.ports import free_port


async def turns(it: Tab) -> list[str]:
    """What the transcript has, with who said it."""
    found = await it.page.locator(".turn").all_inner_texts()
    return [" ".join(each.split()) for each in found]


async def test_a_call_is_watched_by_two_and_ended_by_one() -> None:
    script = Script.of(saying(noise(6000, 1)), saying(noise(400, 2)), otherwise=Turn.silence())
    settings = {**FAST, "no_input_seconds": 0, "reply_filler_seconds": 60}
    async with (
        product(realtime=Realtime(script=script), **settings) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1]) as early,
        tab(opened, the.app.console_at[1]) as late,
    ):
        await early.page.goto("/")
        await early.sees(".empty", "No call is live.")
        one = await talk(the)
        await early.sees("cf-row", one.call.from_number)
        await early.page.click("cf-row a")
        await early.sees(".turn.agent", "Sentence number 0.")
        await one.phone.hears(0.3)
        one.phone.say(tone(200))
        await until(lambda: the.happened("interrupted"), "the interruption")
        await early.sees(".turn.agent.is-cut .unheard")
        await early.sees(".notice", "The caller breaks in")
        await late.page.goto(early.page.url.removeprefix(f"http://127.0.0.1:{the.app.console_at[1]}"))
        await late.sees(".turn.agent.is-cut .unheard")
        await early.page.click("cf-actions >> text=Hold")
        await late.sees(".notice", "On hold")
        await early.sees("cf-actions .acts-note", "On hold.")
        await late.page.click("cf-actions >> text=Off hold")
        await early.page.locator("cf-actions .acts-note", has_text="On hold.").wait_for(
            state="detached", timeout=10_000
        )
        await late.sees(".notice", "Off hold")
        await early.page.click("cf-actions >> text=Hang up…")
        await early.page.click("text=At once")
        await one.call.wait_ended()
        for each in (early, late):
            await each.sees(".end", "The call is over")
            await each.sees("cf-actions", "The call is over")
        assert await turns(early) == await turns(late)
        await late.page.reload()
        await late.sees(".end", "The call is over")
        assert await turns(early) == await turns(late)
        await late.page.click("text=History")
        await late.sees("tbody tr", one.call.from_number)
        await late.page.click("tbody a")
        await late.page.wait_for_url(early.page.url)  # one address, whichever of its ids led here
        await late.sees(".turn.agent.is-cut .unheard")
        await late.sees(".notice", "Hung up by this side")
        await the.quiet()


async def test_the_page_comes_back_with_its_server() -> None:
    port = free_port()
    async with office(CONSOLE_PORT=port) as one, browser() as opened, tab(opened, port) as it:
        caller = await one.ring()
        await it.page.goto("/")
        await it.page.click("cf-row a")
        await it.sees(".turn.agent")
        await one.stop()
        await it.sees(".bar .connection", "The server does not answer.")
        await one.start()
        await it.sees(".bar .connection[data-state=open]")
        await it.sees(".notice", "The server came back")
        assert await it.page.locator(".notice", has_text="Answered").count() == 1
        await caller.call.hang_up()
        await it.sees(".end", "The call is over")
