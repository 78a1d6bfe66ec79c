"""A tool is made of a template on the page, and offered to the next calls; a person answers it, in one of two calls."""

from __future__ import annotations

import os

from callflow.sandbox.openai_realtime import Call, Turn
from tests.e2e.browser import browser, tab
from tests.e2e.product import product, until
from tests.e2e.talk import talk
from tests.e2e.test_step_in import OURS, do, model, speak


async def test_a_tool_of_a_template_is_made_rung_and_answered_in_one_call() -> None:
    asked = Turn((Call("get_weather", {"location": "Oslo"}, "c1"),))
    async with (
        product(realtime=model(asked), **{**OURS, "console_token": ""}) as the,
        browser() as opened,
        tab(opened, the.app.console_at[1]) as it,
    ):
        await it.page.goto("/#/tools")
        await it.page.select_option("select[name=template]", label="get_weather")
        await it.sees(".checked", "This can be saved.")
        text = await it.page.input_value("textarea[name=definition]")
        await it.page.fill("textarea[name=definition]", text[:-1])
        await it.sees(".checked", "This is no JSON")
        assert await it.page.is_disabled("cf-own-tools button.primary")
        await it.page.fill("textarea[name=definition]", text.replace('"seconds": 60', '"seconds": 30'))
        await it.sees(".checked", "This can be saved.")
        assert await it.page.is_enabled("cf-own-tools button.primary")
        if folder := os.environ.get("SCREENSHOTS"):
            await it.page.screenshot(path=f"{folder}/tools-editor.png", full_page=True)
        await it.page.click("text=Save the tool")
        await it.sees("cf-own-tools .outcome", "get_weather is saved as version 1.")
        await it.sees("cf-own-tools td", "30 s")
        await it.sees("cf-tools summary", "answered by a person")
        one = await talk(the)
        first = the.call.id
        assert "get_weather" in [tool["name"] for tool in one.session.config["tools"]]
        other = await talk(the)
        for each in (one, other):
            await speak(each)
        await until(lambda: len(the.happened("operator_asked")) == 2, "both calls to ask")
        await it.page.goto(f"/#/calls/{first}")
        await it.sees(".waiting", "get_weather")
        await it.page.fill(".waiting input", '{"sky": "clear"}')
        await it.page.click(".waiting button.primary")
        await until(lambda: one.session.tool_outputs, "the model to be told")
        assert one.session.tool_outputs == {"c1": ['{"sky":"clear"}']}
        assert other.session.tool_outputs == {}, "the other call has its own question"
        (second,) = [call.id for call in the.app.switchboard.calls if call.id != first]
        await do(the, second, "tools/c1", {"error": "nobody knows"})
        await until(lambda: other.session.tool_outputs, "the other model to be told")
        await it.page.goto("/#/tools")
        await it.page.click('button[aria-label="Delete the tool get_weather"]')
        await it.page.click("dialog >> text=Delete >> nth=-1")
        await it.sees("cf-own-tools .outcome", "The tool get_weather is deleted.")
        assert "get_weather" not in the.app.tool_service.current().local
        await it.page.click("cf-own-tools >> text=Undo")
        await it.sees("cf-own-tools .outcome", "is back")
        for each in (one, other):
            await each.call.hang_up()
        await the.quiet()
