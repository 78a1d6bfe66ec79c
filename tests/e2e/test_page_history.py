"""The history in a browser: filters in the address, a saved search, figures, and the undo after a reload."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import expect
from sqlalchemy import Connection, insert

from callflow.history.tables import conversations, items
from tests.e2e.browser import browser, tab, tells
from tests.e2e.product import product
from tests.e2e.talk import FAST


SIDES = """rows => rows.map(row => ["Caller", "Called"].map(
  name => row.querySelector(`[data-name=${name}]`).innerText.replace(/\\s+/g, " ")))"""
CAUSES = ("agent", "normal_clearing", "user_busy", "engine_lost")


def fill(connection: Connection) -> None:
    """Calls of the last weeks, which are over."""
    chance, now = random.Random(1), datetime.now(UTC)
    calls: list[dict[str, Any]] = []
    for number in range(1, 121):
        began = (now - timedelta(hours=number * 3.7)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        was_answered = number % 5 > 0
        calls.append({
            "id": number, "stream_sid": f"s{number}", "call_id": f"c{number}", "phone_number": "+15550100002",
            "caller_number": f"+1555010{number:04}", "started_at": began, "ended_at": began, "carrier": "telnyx",
            "answered_at": began if was_answered else None, "duration_seconds": number, "state": "hangup",
            "answered_seconds": chance.random() * 300 if was_answered else None, "interruptions": number % 3,
            "first_word_ms": 300 if was_answered else None, "hangup_cause": CAUSES[number % 4], "cost_usd": 0.04,
            "usage": "{}", "profile": "sales" if number % 2 else None, "message_count": 4,
            "direction": "outbound" if number == 20 else "inbound",
        })  # fmt: skip
    words = [
        {
            "conversation_id": number, "item_id": f"i{each}", "item_type": "message", "role": "assistant",
            "text": "Yes.", "content": '[{"type":"text","text":"Yes."}]',
            "latency": f'{{"total_ms":{int(chance.gauss(900, 300))}}}',
        }
        for number in range(1, 121) for each in range(3)
    ]  # fmt: skip
    connection.execute(insert(conversations), calls)
    connection.execute(insert(items), words)


async def test_filters_a_saved_search_figures_and_the_undo_after_a_reload() -> None:
    folder = os.environ.get("SCREENSHOTS")
    async with (
        product(**{**FAST, "console_token": ""}) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1], timezone_id="Europe/Berlin") as it,
    ):
        await the.app.history.database.write(fill)
        await tells(it.page, "/api/live$", [])
        await it.page.goto("/#/history")
        await it.sees("#rows tr >> nth=49")
        sides = await it.page.locator("#rows tr").evaluate_all(SIDES)
        assert sides[18:20] == [["+15550100019", "+15550100002"], ["+15550100002 (out)", "+15550100020"]]
        await it.page.keyboard.press("Control+k")
        await it.page.keyboard.type("+15550100020")
        await it.sees(".palette li", "+15550100002 → +15550100020")
        await it.page.keyboard.press("Escape")
        await it.page.select_option("select[name=result]", "engine")
        await it.page.select_option("select[name=days]", "7")
        await it.page.click("form[role=search] button.primary")
        await expect(it.page.locator("#rows tr")).not_to_have_count(50)
        await it.sees("#rows", "the model engine_lost")
        assert it.page.url.endswith("#/history?days=7&result=engine")
        rows = await it.page.locator("#rows tr").count()
        await it.page.fill(".views input", "Model lost this week")
        await it.page.click(".views >> text=Save")
        await it.sees(".views a[aria-current]", "Model lost this week")
        await it.page.click("text=Everything")
        await it.sees("#rows tr >> nth=49")
        assert await it.page.input_value("select[name=result]") == ""
        await it.page.click(".views >> text=Model lost this week")
        await expect(it.page.locator("select[name=result]")).to_have_value("engine")
        await expect(it.page.locator("#rows tr")).to_have_count(rows)
        assert "result=engine" in str(await it.page.get_attribute("text=Export JSON", "href"))
        await it.page.click("text=Figures of these calls")
        await it.sees(".figures-of .figures dd", str(rows))
        await it.page.locator(".figures-of canvas").nth(2).wait_for()
        await it.page.click("text=The same as tables")
        await it.sees("caption", "Calls by day")
        await it.page.goto("/#/history?from=2026-01-02&to=2026-01-01")
        await it.sees(".figures-of .failed", "“From” is after “To”.")
        await it.page.click("text=Everything")
        await it.sees(".figures-of .figures dd", "120")
        if folder:
            await it.page.screenshot(path=f"{folder}/history.png", full_page=True)
            await it.page.emulate_media(color_scheme="dark")
            await it.page.locator("cf-figures").screenshot(path=f"{folder}/figures-dark.png")
        await it.page.click("#rows button >> nth=0")
        await it.sees(".deleted li", "Deleted:")
        await it.page.reload()
        await it.sees(".deleted li", "Deleted:")
        await it.page.click("cf-deleted >> text=Undo")
        await it.page.locator("cf-deleted li").wait_for(state="detached")
        assert (await the.app.history.deleted.listed(the.app.history.now())) == []
        await it.page.set_viewport_size({"width": 360, "height": 800})
        assert await it.is_as_wide_as_its_window()
        if folder:
            await it.page.screenshot(path=f"{folder}/history-narrow.png")


async def test_calls_of_before_are_found_from_anywhere_and_trouble_does_not_move_the_page() -> None:
    async with (
        product(**{**FAST, "console_token": ""}) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1], viewport={"width": 1280, "height": 800}) as it,
    ):
        await the.app.history.database.write(fill)
        await it.page.goto("/")
        await it.sees(".connection[data-state=open]")
        height = await it.page.evaluate(BAR)
        for typed in ("1 (555) 010-0007", "+15550100007"):
            await it.page.keyboard.press("Control+k")
            await it.page.keyboard.type(typed)
            await it.sees(".palette li", "+15550100007 → +15550100002")
            assert await it.page.locator(".palette li", has_text="+15550100002").count() == 1
            await it.page.keyboard.press("Escape")
        await it.page.keyboard.press("Control+k")
        await it.page.keyboard.type("+15550100002")
        await it.sees(".palette li >> nth=8")
        assert await it.page.locator(".palette li", has_text="→ +15550100002").count() == 8
        await it.page.keyboard.press("ArrowUp")
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_url("**/#/calls/c8")
        await it.page.route("**/api/live", lambda route: route.abort())
        await it.page.reload()
        await it.sees(".bar .connection", "The server does not answer.")
        assert await it.page.evaluate(BAR) == height
        assert await it.is_as_wide_as_its_window()


BAR = "document.querySelector('.bar').getBoundingClientRect().height"
