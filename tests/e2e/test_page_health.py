"""The operators' page: a call of the history is deleted and brought back, and the health of the server in words."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.browser import NARROW, browser, tab, tells
from tests.e2e.operators_port import TOKEN
from tests.e2e.product import product
from tests.e2e.scenes import conversing
from tests.e2e.test_page import calm


SHOTS = os.environ.get("SHOTS", "")


async def test_a_call_is_deleted_and_brought_back_and_the_health_page_comes_back_by_itself() -> None:
    async with product(console_token=TOKEN, console_tokens=f"eye:view:{TOKEN}-2") as the, browser() as opened:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        async with tab(opened, the.app.console_at[1]) as it:
            await calm(it.page)
            await tells(it.page, "/events", [])
            await it.page.goto("/#/history")
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            await it.sees("tbody tr", call.from_number)
            await it.page.click("tbody >> text=Delete")
            await it.sees(".deleted", "Deleted:")
            await it.sees(".empty", "There is no call in the history yet.")
            if SHOTS:
                await it.page.screenshot(path=Path(SHOTS) / "deleted.png")
            await it.page.click("cf-deleted >> text=Undo")
            await it.sees("tbody tr", call.from_number)
            assert await it.page.locator(".deleted").count() == 0
            await it.page.click("text=Health")
            await it.sees("#health-summary")
            if SHOTS:
                await it.page.screenshot(path=Path(SHOTS) / "health.png", full_page=True)
        async with tab(opened, the.app.console_at[1], viewport=NARROW) as it:
            await calm(it.page)
            await it.page.goto("/#/health")
            await it.page.fill("input[name=token]", f"{TOKEN}-2")
            await it.page.keyboard.press("Enter")
            await it.sees("#health-now")
            await it.sees(".findings li", "SQLite, open")
            await it.sees("#health-setup")
            assert await it.is_as_wide_as_its_window()
            if SHOTS:
                await it.page.screenshot(path=Path(SHOTS) / "narrow.png", full_page=True)
            await it.page.goto("/#/history")
            await it.sees("tbody tr")
            assert await it.page.get_by_text("Delete").count() == 0
            assert await it.page.locator("#filter-text, #filter-number").count() == 1, (
                "this role may not look for numbers"
            )
            await it.page.goto("/#/health")
            await it.sees("#health-now")
            the.app.journal.trouble = "no room on the disk"
            await it.sees('.findings li[data-state="wrong"]', "no room on the disk")
            the.app.journal.trouble = ""
            await it.sees(".findings li", "it is written")
