"""An operator steps into one call from its page: a whisper, the answer that took it up, a tool answered by hand."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.async_api import expect

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Call, Turn
from tests.e2e.browser import NARROW, browser, tab
from tests.e2e.outbound import TOKEN
from tests.e2e.product import product, until
from tests.e2e.talk import talk
from tests.e2e.test_step_in import OURS, TOOLS, model, speak


SALES = "+15550100009"


async def test_a_whisper_and_a_tool_answered_by_hand(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS % 60)
    asked = Turn((Call("approve", {"percent": 10}, "c1"),))
    settings = {**OURS, "transfer_targets": f"Sales={SALES}"}
    async with (
        product(realtime=model(asked), tools_file=str(tmp_path / "tools.py"), **settings) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1], viewport=NARROW) as it,
    ):
        one = await talk(the)
        await it.page.goto(f"/#/calls/{the.call.id}")
        await it.page.fill("input[name=token]", TOKEN)
        await it.page.keyboard.press("Enter")
        await it.page.fill("cf-step-in form input[name=text]", "Offer ten percent.")
        await it.page.click("cf-step-in >> text=Whisper")
        await it.sees(".notice", "Whispered to the model: “Offer ten percent.”")
        await speak(one)
        await it.sees(".waiting", "approve")
        await it.sees(".waiting .left", "s left")
        await it.sees(".tool summary", "waits for an operator")
        assert await it.is_as_wide_as_its_window()
        if folder := os.environ.get("SCREENSHOTS"):
            await it.page.screenshot(path=f"{folder}/narrow.png")
            await it.page.set_viewport_size({"width": 1400, "height": 900})
            await it.page.screenshot(path=f"{folder}/wide.png")
        await it.page.fill(".waiting input", '{"approved": true}')
        await it.page.click(".waiting button.primary")
        await until(lambda: one.session.tool_outputs, "the model to be told")
        assert one.session.tool_outputs == {"c1": ['{"approved":true}']}
        await it.page.locator(".waiting").wait_for(state="detached")
        await it.sees(".turn.agent", "with a whisper")
        await it.sees(".notice", "taken up in the answer at")
        await it.page.click("cf-step-in summary")
        await it.sees("cf-step-in small", "Known: sales")
        await it.page.fill("cf-step-in textarea", "Be brief.")
        await it.page.click("cf-step-in >> text=Change")
        await it.sees(".notice", "The session was changed: instructions")
        assert await it.is_as_wide_as_its_window()
        if folder:
            await it.page.screenshot(path=f"{folder}/after.png", full_page=True)
        the.carrier.exchange.callees[SALES] = Callee("rejects", ring_s=0.5)
        await it.page.fill("cf-step-in input[name=to]", "Sales")
        await it.page.click("cf-step-in form:has(input[name=to]) button")
        rung = it.page.locator("cf-step-in .acts-note", has_text="The person is being rung")
        await expect(rung).to_have_count(1)
        await expect(rung).to_have_count(0)  # nobody is rung any more
        await it.page.fill("cf-step-in input[name=to]", "nobody")
        await it.page.click("cf-step-in form:has(input[name=to]) button")
        await it.sees("cf-step-in .failed", "“Transfer to”")
        await one.call.hang_up()
        await it.sees(".end", "The call is over")
        assert await it.page.locator("cf-step-in form").count() == 0
        await the.quiet()
