"""The operators' page: the doctor is asked, an alert is seen and closed, and a link shows one call to a stranger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Page

from callflow.switchboard.health import alert_life_cycle, findings, service
from tests.e2e.browser import NARROW, browser, tab, tells
from tests.e2e.operators_port import TOKEN
from tests.e2e.product import product
from tests.e2e.scenes import conversing
from tests.e2e.test_page import calm


SHOTS = os.environ.get("SHOTS", "")


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


async def test_the_doctor_an_alert_and_a_link_for_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "EVERY_SECONDS", 0.2)
    monkeypatch.setitem(alert_life_cycle.OPEN_AFTER, "wrong", 0.3)
    monkeypatch.setattr(findings, "_LATE_MS", 60_000.0)  # other tests run beside this one
    async with product(console_token=TOKEN, console_tokens=f"desk:operate:{TOKEN}-2") as the, browser() as opened:
        call = await the.telnyx.ring()
        await conversing(the, call)
        name = the.call.id
        await call.hang_up()
        await the.quiet()
        port = the.app.console_at[1]
        async with tab(opened, port) as it:
            await calm(it.page)
            await tells(it.page, "/events", [])
            await it.page.goto("/#/health")
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            await it.sees("cf-alerts", "None is open.")
            await it.page.click("#ask-doctor")
            await it.sees("cf-doctor .findings li", "the server can start with them")
            await it.page.locator("#doctor-summary", has_text="As of").wait_for(timeout=30_000)
            assert await it.page.locator("cf-doctor .findings li").count() >= 4
            the.app.journal.trouble = "no room on the disk"
            await it.sees("cf-alerts .findings li", "no room on the disk")
            await it.sees("cf-alert-count .count")
            await shot(it.page, "health")
            row = it.page.locator("cf-alerts li", has_text="no room on the disk")
            await row.get_by_role("button", name="Seen").click()
            await row.locator(".mark", has_text="seen").wait_for()
            await row.get_by_role("button", name="Close").click()
            await it.sees("cf-alerts summary", "closed")
            the.app.journal.trouble = ""
        async with tab(opened, port) as it:
            await calm(it.page)
            await it.page.goto(f"/#/calls/{name}")
            await it.page.fill("input[name=token]", f"{TOKEN}-2")
            await it.page.keyboard.press("Enter")
            await it.page.click("cf-share >> text=Share…")
            await it.page.select_option("select[name=days]", "3")
            await it.page.click("cf-share >> text=Make a link")
            link = await it.page.locator("cf-share input[name=link]").input_value()
            await it.sees(".links li", "made by token desk")
            await shot(it.page, "share")
            for options in ({}, {"viewport": NARROW, "color_scheme": "dark", "java_script_enabled": False}):
                async with tab(opened, port, **options) as theirs:
                    answer = await theirs.page.goto(link)
                    assert answer is not None
                    assert answer.status == 200
                    assert await theirs.page.context.cookies() == []
                    await theirs.sees("li.agent")
                    shown = await theirs.text("body")
                    assert "+1555•••" in shown
                    assert call.from_number not in await theirs.page.content()
                    assert await theirs.is_as_wide_as_its_window()
                    await shot(theirs.page, f"shared-{options.get('color_scheme', 'light')}")
            await it.page.locator(".links").get_by_role("button", name="Revoke").click()
            await it.sees("cf-share", "the link leads nowhere now")
        async with tab(opened, port) as theirs:
            answer = await theirs.page.goto(link)
            assert answer is not None
            assert answer.status == 404
            await theirs.sees("h1", "This link leads nowhere")
