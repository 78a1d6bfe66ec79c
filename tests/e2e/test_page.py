"""The operators' page in a browser: what it shows of what the server tells, and what its buttons do to a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page

from callflow.journal.journal import JournalEntry
from callflow.journal.timeline import describe
from tests.e2e.browser import NARROW, answers, browser, tab, tells
from tests.e2e.operators_port import TOKEN
from tests.e2e.product import product, until
from tests.e2e.scenes import conversing


HISTORIES = Path(__file__).parents[1] / "histories"
COUNTERS = {
    "live": 2, "today": 7, "latency_p50_ms": 640.0, "latency_p95_ms": 1310.0, "loop_lag_p99_ms": 1.7, "ended": {},
}  # fmt: skip
NOTHING: dict[str, Any] = {"at": [], "calls": [], "p50": [], "p95": [], "lag": [], "ended": {}}


def row(name: str, **more: Any) -> dict[str, Any]:
    """A live call, as /api/live tells it."""
    return {
        "id": name, "carrier": "telnyx", "direction": "inbound", "from": "+15550100001", "to": "+15550100002",
        "profile": "sales", "business": "", "state": "streaming", "began": 1_795_648_400.0, "answered": None,
        "speaking": "", "latency_ms": None, "cost": None, "warnings": [], **more,
    }  # fmt: skip


async def calm(page: Page, *rows: dict[str, Any], then: tuple[tuple[str, Any], ...] = ()) -> None:
    """Let /api/live tell these calls."""
    await tells(page, "/api/live$", [("snapshot", {"calls": rows, "counters": COUNTERS}), *then])
    await answers(page, "**/api/live/hour", NOTHING)


async def test_the_wall_shows_each_live_call_and_fits_every_width() -> None:
    rows = (
        row("a", speaking="agent", latency_ms=820, cost={"dollars": 0.75, "ceiling": 1.0}),
        row("b", state="recovering", began=1_795_648_500.0, warnings=["The engine is recovering."]),
    )  # fmt: skip
    then = (("levels", {"a": [0, 0.5]}), ("gone", {"id": "b", "result": "completed"}))
    async with product() as the, browser() as opened:
        for options in ({}, {"viewport": NARROW}, {"color_scheme": "dark"}):
            async with tab(opened, the.app.console_at[1], **options) as it:
                await calm(it.page, *rows, then=then)
                await it.page.goto("/")
                await it.sees("cf-row", "+15550100001 → +15550100002")
                shown = await it.text("cf-row")
                assert all(each in shown for each in ("talking", "820 ms", "$0.750", "agent speaks")), shown
                await it.sees('.fuse[data-level="middle"]')
                meters = it.page.locator("cf-row .meter > i")
                assert await meters.count() == 4
                await it.page.locator('.agent i[style*="scaleX(0.5)"]').wait_for()
                await it.sees("cf-row .is-over", "ended: completed")
                await it.sees("cf-row .warning", "The engine is recovering.")
                assert await it.is_as_wide_as_its_window()
                assert "7" in await it.text(".figures")


async def test_a_transcript_tells_heard_words_from_those_that_were_not() -> None:
    lines = (HISTORIES / "telnyx-talked.jsonl").read_text(encoding="utf-8").splitlines()
    journal = [msgspec.json.decode(line, type=JournalEntry) for line in lines]
    happened = [
        ("entry", {
            "seq": number, "at": round(each.at - journal[0].at, 3), "kind": each.name, "line": describe(each),
            **({"step": {"event": each.event, "before": each.before, "after": each.after}} if each.is_step
               else {"note": {key: value for key, value in each.event.items() if key != "event"}}),
        })
        for number, each in enumerate(journal, 1)
    ]  # fmt: skip
    over = ("over", {"result": "completed", "cause": "normal_clearing"})
    async with product() as the, browser() as opened, tab(opened, the.app.console_at[1]) as it:
        await calm(it.page)
        await tells(it.page, "/events", [*happened, *happened[:5], over])
        await it.page.goto("/#/calls/one")
        await it.sees(".end", "The call is over: completed (normal_clearing).")
        turns = [" ".join(each.split()) for each in await it.page.locator(".turn .words").all_inner_texts()]
        assert turns == [
            "Good morning.", "When are you open on Monday?", "From nine not heard: to five.", "I have a question.",
            "From not heard: nine to five.",
        ]  # fmt: skip
        assert await it.page.locator(".unheard").count() == 2
        await it.sees(".notice", "The caller breaks in: 0.5 s of 0.9 s heard")
        await it.sees(".tool", "opening")
        assert (await it.text(".path")).startswith("ringing")
        assert await it.text("cf-log .tools .dim") == f"{len(journal)} lines"
        await it.page.fill("cf-log input", "opening")
        await it.sees("cf-log .dim", f"2 of {len(journal)} lines")
        assert await it.is_as_wide_as_its_window()


async def test_the_history_is_searched_in_the_address_and_leads_to_a_call() -> None:
    async with product() as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        async with browser() as opened, tab(opened, the.app.console_at[1], timezone_id="Asia/Kathmandu") as it:
            await calm(it.page)
            await tells(it.page, "/events", [])
            await it.page.goto("/#/history")
            await it.sees("tbody tr", call.from_number)
            await it.page.fill("#filter-number", "+1 555 010 9999")
            await it.page.keyboard.press("Enter")
            await it.sees(".empty", "No call fits.")
            assert it.page.url.endswith("#/history?number=%2B1+555+010+9999")
            await it.page.go_back()
            await it.page.click("tbody a")
            await it.sees("cf-call h1")
            assert "#/calls/" in it.page.url
            await it.page.keyboard.press("?")
            await it.sees("dialog[open]", "Keys")
            await it.page.keyboard.press("Escape")
            await it.page.keyboard.press("Control+k")
            await it.page.keyboard.type("live")
            await it.page.keyboard.press("Enter")
            await it.sees(".empty", "No call is live.")
            assert await it.page.get_by_text("Sign out").count() == 0, "there is no login to end"


async def test_a_browser_logs_in_first_and_comes_to_where_it_wanted_to_be() -> None:
    async with product(console_token=TOKEN, console_tokens=f"eye:view:{TOKEN}-2") as the, browser() as opened:
        call = await the.telnyx.ring()
        await conversing(the, call)
        (live,) = the.app.switchboard.calls
        async with tab(opened, the.app.console_at[1]) as it:
            await calm(it.page, row(live.id))
            await tells(it.page, "/events", [])
            await it.page.goto(f"/#/calls/{live.id}")
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            await it.sees("cf-call button.danger")
            await it.page.fill("cf-actions input[name=digits]", "not keys")
            await it.page.click("text=Press keys")
            await it.sees(".acts-note.failed", "“Press keys” must be")
            await it.page.click("cf-actions >> text=Hang up…")
            await it.page.click("text=At once")
            await it.sees(".acts-note", "The call is being ended.")
            await call.wait_ended()
        async with tab(opened, the.app.console_at[1]) as it:
            await calm(it.page, row(live.id))
            await tells(it.page, "/events", [])
            await it.page.goto("/")
            await it.page.fill("input[name=token]", f"{TOKEN}-2")
            await it.page.keyboard.press("Enter")
            await it.page.click("cf-row a")
            await it.sees(".acts-note", "Your role may look only.")
            await it.page.click("text=Sign out")
            await it.sees("input[name=token]")
            await it.page.goto("/")
            await it.sees("input[name=token]")
        await until(lambda: not the.app.switchboard.calls, "the end of the call")


BUSY = """
(() => {
  const dice = (most) => Math.random() * most;
  const rows = Array.from({ length: 50 }, (_, n) => ({ ...ROW, id: `call-${n}`, began: Date.now() / 1000 - n }));
  window.EventSource = class extends EventTarget {
    constructor() {
      super();
      const tell = (name, data) => this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
      setTimeout(() => { this.onopen?.(); tell("snapshot", { calls: rows, counters: COUNTERS }); });
      setInterval(() => {
        tell("levels", Object.fromEntries(rows.map(({ id }) => [id, [dice(1), dice(1)]])));
        for (const row of rows.filter(() => dice(1) < 0.2)) {
          tell("call", { ...row, speaking: dice(1) < 0.5 ? "caller" : "agent", latency_ms: dice(900) });
        }
      }, 200);
    }
    close() {}
  };
})();
"""


@pytest.mark.alone
async def test_fifty_live_calls_keep_the_page_calm() -> None:
    script = BUSY.replace("ROW", json.dumps(row(""))).replace("COUNTERS", json.dumps(COUNTERS))
    async with product() as the, browser() as opened, tab(opened, the.app.console_at[1]) as it:
        await answers(it.page, "**/api/live/hour", NOTHING)
        await it.page.add_init_script(script)
        await it.page.goto("/")
        await it.page.locator("cf-row").nth(49).wait_for()
        devtools = await it.page.context.new_cdp_session(it.page)
        # processor time, which other programs on this machine do not lengthen
        await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

        async def busy() -> float:
            """Seconds for which the page's thread has worked."""
            told = await devtools.send("Performance.getMetrics")
            found: float = next(one["value"] for one in told["metrics"] if one["name"] == "TaskDuration")
            return found

        seconds = []
        for _ in range(4):  # the first has the page's beginning in it, and a machine does other things, too
            before = await busy()
            await it.page.wait_for_timeout(1000)
            seconds.append(await busy() - before)
        print(f"ms of work in each second: {[round(1000 * each) for each in seconds]}")
        assert min(seconds) < 0.1
