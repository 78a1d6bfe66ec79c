"""What axe finds in the operators' pages, for whoever works with a keyboard, a screen reader or little light."""

from __future__ import annotations

from typing import Any, Final

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.e2e.browser import NARROW, WIDE, Tab, browser, tab
from tests.e2e.operators_port import TOKEN
from tests.e2e.product import product
from tests.e2e.scenes import conversing


SERIOUS: Final = {"serious", "critical"}
LOOKS: Final = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": WIDE},
    "narrow": {"color_scheme": "light", "viewport": NARROW},
}


async def findings(page: Page) -> list[str]:
    """What axe finds in the page as it is, of those that keep somebody from using it: rule and place."""
    # Without a look at the style sheets: for that axe copies those of the waveform, which the page's policy refuses.
    found = await Axe().run(page, options={"preload": False})
    return [
        f"{each['id']}: {node['target']} {node['failureSummary'].splitlines()[-1].strip()}"
        for each in found.response["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


async def pages(it: Tab) -> list[str]:
    """All places that the menu leads to."""
    await it.sees("nav a")
    links: list[str] = await it.page.locator('nav a[href^="#/"]').evaluate_all("all => all.map((a) => a.hash)")
    return sorted(set(links))


@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize(
    "look", ["light", *(pytest.param(look, marks=pytest.mark.proof) for look in ("dark", "narrow"))]
)
async def test_axe_finds_nothing_serious_in_any_page(look: str) -> None:
    options: dict[str, Any] = LOOKS[look]
    wrong: dict[str, list[str]] = {}
    async with product(record=True, console_token=TOKEN) as the:
        over = await the.telnyx.ring()
        await conversing(the, over)
        (ended,) = the.app.switchboard.calls
        await over.hang_up()
        await the.quiet()
        await conversing(the, await the.telnyx.ring())
        (live,) = the.app.switchboard.calls
        async with browser() as opened, tab(opened, the.app.console_at[1], **options) as it:
            await it.page.goto("/")
            await it.page.locator("input[name=token]").wait_for()
            wrong["login"] = await findings(it.page)
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            places = await pages(it)
            assert len(places) > 5, places
            for place in [*places, f"#/calls/{live.id}", f"#/calls/{ended.id}", "#/calls/none"]:
                await it.page.goto(f"/{place}")
                await it.sees("main h1, main h2, main .empty")
                await it.page.wait_for_load_state("load")
                wrong[place] = await findings(it.page)
    assert {place: found for place, found in wrong.items() if found} == {}
