"""The pages with forms in a browser: dial, campaigns, numbers, profiles, tools and limits, and what each does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Route

from tests.e2e.browser import NARROW, Tab, browser, tab, tells
from tests.e2e.campaigns import NUMBERS
from tests.e2e.operators_port import TOKEN
from tests.e2e.outbound import OURS, THEIRS, dialling
from tests.e2e.product import Product, until


TOOL = """from callflow.engines.tools import tool

@tool
def opening(day: str) -> str:
    return f"{day}: 9-17"
"""
PLACES = ("dial", "campaigns", "numbers", "profiles", "session", "tools", "limits")


async def enter(it: Tab, token: str, place: str) -> None:
    await tells(it.page, "/api/live$", [])
    await it.page.goto(f"/#/{place}")
    await it.page.fill("input[name=token]", token)
    await it.page.keyboard.press("Enter")
    await it.sees("main h1")


async def dials(the: Product, it: Tab) -> None:
    """What is checked first, the button, and the progress of the call."""
    await it.page.fill("input[name=number]", "911")
    await it.page.fill("input[name=number]", "+1 900 555 0100")
    await it.sees(".failed", "DIAL_ALLOW")
    assert await it.page.is_disabled("button.primary")
    await it.page.fill("input[name=number]", THEIRS)
    await it.page.select_option("select[name=profile]", "sales")
    await it.page.fill("[data-variable=name]", "Ada")
    await it.sees(".good", "This may be dialled.")
    await it.sees(".facts", "$0.10")
    await it.page.click("button.primary")
    await it.sees(".progress a", "To the call")
    await until(lambda: the.app.switchboard.calls, "the call")
    assert the.call.to_number == THEIRS
    await it.sees(".progress", "answered")
    await the.carrier_call().hang_up()
    await it.sees(".progress", "over")


async def edited_meanwhile(it: Tab) -> None:
    """What is changed while the rows are checked was not checked, so nothing is offered to be started."""
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        await go_on.wait()
        await route.fulfill(response=answer)

    await it.page.route("**/api/campaigns?*dry_run=true*", hold)
    await it.page.click("text=Check the rows")
    rows = await it.page.input_value("textarea[name=rows]")
    await it.page.fill("textarea[name=rows]", f"{rows}{NUMBERS[0]},UTC\n")
    go_on.set()
    await it.page.locator("button:enabled", has_text="Check the rows").wait_for()
    assert await it.page.locator(".checked").count() == 0
    await it.page.unroute("**/api/campaigns?*dry_run=true*", hold)
    await it.page.fill("textarea[name=rows]", rows)


async def calls_a_list(the: Product, it: Tab) -> None:
    """Rows, the check of them, the start; then one campaign, which is cancelled."""
    await it.page.click("nav >> text=Campaigns")
    await it.page.fill("textarea[name=rows]", f"number,timezone\n{NUMBERS[0]},UTC\nnobody,UTC\n")
    await it.page.fill("input[name=hours]", "0-24")
    await it.page.fill("input[name=weekdays]", "mon-sun")
    await it.page.select_option("select[name=start]", "paused")
    await it.page.fill("input[name=calls_per_second]", "many")
    await it.page.click("text=Check the rows")
    await it.sees(".failed", "“Calls a second” must be a number from 0.01 to ")
    await it.page.fill("input[name=calls_per_second]", "")
    await edited_meanwhile(it)
    await it.page.click("text=Check the rows")
    await it.sees(".checked", "1 of 2 rows will be called")
    await it.sees(".checked .facts", "at most for the model, if each of 1 were answered")
    await it.page.click("text=Start: call 1")
    await it.sees("cf-campaign .chip", "paused")
    await it.sees("cf-campaign tbody td", "line 3")
    await it.page.click("cf-campaign >> text=Resume")
    await until(lambda: any(call.to_number == NUMBERS[0] for call in the.carrier.calls.values()), "its call")
    await it.sees("cf-campaign .chip", "running")
    await it.sees("cf-campaign tr:has-text('being called') a", "Open")
    await it.page.click("text=Cancel for good…")
    await it.page.click("dialog button.danger")
    await it.sees("cf-campaign .chip", "cancelled")


async def changes_a_profile(the: Product, it: Tab) -> None:
    """Two who change one profile, a version that is looked at, and back to it."""
    await it.page.click("nav >> text=Profiles")
    await it.page.click("tbody >> text=sales")
    await it.page.fill("#setting-speed", "1.2")
    await it.page.click(".save-bar button.primary")
    await it.sees(".save-bar", "Saved as version 1.")
    assert the.app.configs.rules.profiles.all()["sales"].speed == 1.2
    await the.app.profiles.put("sales", {"voice": "cedar"}, by="somebody", whole=False)
    await it.page.fill("#setting-speed", "1.3")
    await it.page.click(".save-bar button.primary")
    await it.sees(".save-bar .failed", "not the newest")
    await it.page.click("text=Read theirs, keep what I typed")
    await it.sees(".save-bar", "Read again.")
    await it.page.click(".save-bar button.primary")
    await it.sees(".save-bar", "Saved as version 3.")
    chosen = the.app.configs.rules.profiles.all()["sales"]
    assert (chosen.speed, chosen.voice) == (1.3, "cedar")
    await it.sees("tr", "Version 3")
    await it.page.click("tr:has-text('Version 1') >> text=Compare")
    await it.sees(".difference", "voice")
    await it.page.click("tr:has-text('Version 1') >> text=Go back to it")
    await it.sees("tr", "Version 4")
    assert the.app.configs.rules.profiles.all()["sales"].voice == "marin"


async def leaves_what_is_not_saved(it: Tab) -> None:
    """The page asks first, also when it is closed; whoever stays finds what they have typed."""
    closing = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert await it.page.evaluate(closing), "nothing is changed"
    await it.page.fill("#setting-speed", "1.4")
    assert not await it.page.evaluate(closing)
    for leave in (None, "nav >> text=Tools"):
        if leave:
            await it.page.click(leave)
        else:
            await it.page.go_back()
        await it.sees("dialog", "Leave this page?")
        assert it.page.url.endswith("#/profiles/sales")
        await it.page.click("dialog >> text=Cancel")
        await it.page.locator("dialog[open]").wait_for(state="detached")
        assert await it.page.input_value("#setting-speed") == "1.4"
    await it.page.click("nav >> text=Tools")
    await it.page.click("dialog button.danger")
    await it.sees("cf-tools")
    await it.page.select_option("select[name=template]", label="get_weather")
    await it.page.locator("textarea[name=definition]").press("Space")
    await it.page.click("nav >> text=Limits")
    await it.page.click("dialog button.danger")
    await it.sees("cf-limits")


async def tries_a_tool(it: Tab) -> None:
    """With what it needs, and with what is no JSON."""
    await it.page.click("nav >> text=Tools")
    tool = it.page.locator("details", has_text="opening")
    await tool.locator("summary").click()
    await tool.locator("textarea").fill("{")
    await tool.locator("text=Try it").click()
    await it.sees(".failed", "no JSON")
    await tool.locator("textarea").fill('{"day": "monday"}')
    await tool.locator("text=Try it").click()
    await it.sees(".good", "It answered within")
    await it.sees(".outcome pre", "monday: 9-17")


async def test_an_operator_dials_calls_a_list_changes_a_profile_and_tries_a_tool(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOL, encoding="utf-8")
    profiles = {"sales": {"numbers": [OURS], "greeting": "Greet {{name}}."}}
    async with (
        dialling(profiles=profiles, console_token=TOKEN, tools_file=str(tmp_path / "tools.py")) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1]) as it,
    ):
        await enter(it, TOKEN, "dial")
        await dials(the, it)
        await calls_a_list(the, it)
        await changes_a_profile(the, it)
        await leaves_what_is_not_saved(it)
        await tries_a_tool(it)


async def test_who_may_only_look_is_offered_nothing_and_each_page_fits() -> None:
    named = f"eye:view:{TOKEN}-2"
    async with dialling(console_token=TOKEN, console_tokens=named) as the, browser() as opened:
        for options in ({}, {"viewport": NARROW}):
            for token in (TOKEN, f"{TOKEN}-2"):
                async with tab(opened, the.app.console_at[1], **options) as it:
                    await enter(it, token, "limits")
                    for place in PLACES:
                        await it.page.goto(f"/#/{place}")
                        await it.page.locator(".empty:text('Reading')").wait_for(state="detached")
                        await it.sees("main h1")
                        assert await it.is_as_wide_as_its_window(), place
                        offered = await it.page.locator("main form button, main button.danger").count()
                        assert bool(offered) == (token == TOKEN and place not in ("limits", "numbers")), place


async def test_a_number_is_pointed_here_and_put_back() -> None:
    async with dialling(public_base_url="https://phone.example", console_token=TOKEN) as the, browser() as opened:
        before = the.telnyx.webhook_url
        async with tab(opened, the.app.console_at[1]) as it:
            await enter(it, TOKEN, "numbers")
            await it.page.click("tr:has-text('+15550100002') >> text=Point here…")
            await it.sees("dialog[open]", "https://phone.example")
            await it.page.click("dialog button.primary")
            await it.sees("cf-numbers .chip", "here")
            assert the.telnyx.webhook_url.startswith("https://phone.example/")
            the.telnyx.webhook_url = "https://another.example"
            await it.page.click("tr:has-text('+15550100002') >> text=Undo")
            await it.sees("dialog[open]", "https://another.example now, which was not set from here")
            await it.page.click("dialog button.danger")
            await it.sees(".outcome", "leads where it led before")
            await until(lambda: the.telnyx.webhook_url == before, "where it led before")
