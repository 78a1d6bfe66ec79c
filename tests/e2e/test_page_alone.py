"""What the operators' page shows of one call among several, and what it never gets to know."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from playwright.async_api import Error, Page, Response, WebSocket

from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.browser import browser, tab
from tests.e2e.planted import KEYS, TOOLS, Evidence
from tests.e2e.product import product, until
from tests.e2e.scenes import conversing
from tests.e2e.talk import FAST
from tests.e2e.test_page_axe import pages


SEARCHED: Final = "text/html", "text/javascript", "application/json"


async def test_of_three_calls_one_is_stepped_into_and_only_that_one_changes() -> None:
    async with (
        product(realtime=Realtime(script=Script.tone(0.2), pace=Pace.instant()), **FAST, no_input_seconds=0) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1]) as one,
        tab(opened, the.app.console_at[1]) as other,
        tab(opened, the.app.console_at[1]) as wall,
    ):
        for _ in range(3):
            await conversing(the, await the.telnyx.ring())
        first, second, third = the.app.switchboard.calls
        await wall.page.goto("/")
        await until(lambda: len(the.app.switchboard.calls) == 3, "three calls")
        await wall.page.locator("cf-row").nth(2).wait_for()
        await one.page.goto(f"/#/calls/{second.id}")
        await other.page.goto(f"/#/calls/{first.id}")
        await other.sees(".notice", "Answered")
        await one.page.click("cf-actions >> text=Hold")
        await one.sees(".notice", "On hold")
        await one.page.click("cf-actions >> text=Hang up…")
        await one.page.click("text=At once")
        await one.sees(".end", "The call is over")
        await until(lambda: len(the.app.switchboard.calls) == 2, "one call less")
        assert {call.id for call in the.app.switchboard.calls} == {first.id, third.id}
        await wall.sees("cf-row .is-over")
        assert await wall.page.locator("cf-row .is-over").count() == 1
        assert await other.page.locator(".notice", has_text="hold").count() == 0
        assert await other.page.locator(".end").count() == 0
        assert the.happened("hold_requested", second.id)
        for call in (first, third):
            assert the.happened("hold_requested", call.id) == []


async def test_no_key_comes_into_the_browser(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS, encoding="utf-8")
    evidence = Evidence()

    async def keep(response: Response) -> None:
        evidence.add(f"head of {response.url}", repr(response.headers))
        # What a stream tells is read from the page.
        if response.headers.get("content-type", "").startswith(SEARCHED):
            with contextlib.suppress(Error):  # it was a redirect, or the page was left
                evidence.add(response.url, await response.body())

    def socket(opened: WebSocket) -> None:
        opened.on("framereceived", lambda frame: evidence.add(f"socket {opened.url}", frame))

    def watch(page: Page) -> None:
        page.on("response", keep)
        page.on("websocket", socket)

    mine = {"openai_api_key", "telnyx_api_key", "telnyx_public_key", "twilio_auth_token", "events_secret"}
    planted = {name: value for name, value in KEYS.items() if name not in mine and not name.startswith("twilio")}
    model = Realtime(script=Script.tone(0.2), pace=Pace.instant(), api_key=KEYS["openai_api_key"])
    carrier = Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key=KEYS["telnyx_api_key"])
    settings = {
        **planted, "console_tokens": f"desk:configure:planted:{KEYS['console_tokens']}", **FAST,
        "otel_exporter_otlp_headers": f"x-key={KEYS['otel_exporter_otlp_headers']}",
        "tools_file": str(tmp_path / "tools.py"), "record": True,
    }  # fmt: skip
    async with product(carrier=carrier, realtime=model, **settings) as the, browser() as opened:
        await conversing(the, await the.telnyx.ring())
        (live,) = the.app.switchboard.calls
        async with tab(opened, the.app.console_at[1]) as it:
            watch(it.page)
            await it.page.goto("/")
            await it.page.fill("input[name=token]", KEYS["console_token"])
            await it.page.keyboard.press("Enter")
            for place in [*await pages(it), f"#/calls/{live.id}"]:
                await it.page.goto(f"/{place}")
                await it.sees("main h1, main h2, main .empty")
                evidence.add(f"page {place}", await it.page.content())
            await it.sees("cf-log")
            evidence.add("page of the call", await it.page.content())
            evidence.add("kept", await it.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"))
            evidence.add("cookies", repr(await it.page.context.cookies()))
        for what in ("whoami", live.id, "cf-app", "httpOnly"):
            assert evidence.holds(what), f"{what} is not among what was searched"
        evidence.holds_none_of(KEYS)
