"""The system's Chromium, without a window, in front of the operators' page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Route, async_playwright


WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 360, "height": 800}


def chromium() -> str:
    """Where it is: the one without a window needs half the time. Skips the test where there is none, but in CI."""
    found = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), "")
    if not found:
        missing = "Chromium is not installed (Debian: apt install chromium-headless-shell)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@dataclass
class Tab:
    """One tab, and what its console said."""

    page: Page
    said: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        # A server that is away, or refuses, is no fault of the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.said.append(message.text)

    async def text(self, selector: str) -> str:
        """The words of an element, once it is there."""
        return " ".join((await self.page.locator(selector).first.inner_text(timeout=10_000)).split())

    async def sees(self, selector: str, text: str = "") -> None:
        """Wait until an element with this text is there, and to be seen."""
        place = self.page.locator(selector, has_text=text) if text else self.page.locator(selector)
        await place.first.wait_for(state="visible", timeout=10_000)

    async def comes_true(self, script: str) -> None:
        """Wait for it. Asked from here, because the page's policy forbids it to ask itself again and again."""
        async with asyncio.timeout(10):
            while not await self.page.evaluate(script):  # noqa: ASYNC110 - it is another program's condition
                await asyncio.sleep(0.02)

    async def is_as_wide_as_its_window(self) -> bool:
        return bool(await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@contextlib.asynccontextmanager
async def browser(*flags: str) -> AsyncIterator[Browser]:
    """The browser, started with these flags."""
    path = chromium()
    async with async_playwright() as driver:
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = await driver.chromium.launch(executable_path=path, args=[*as_root, *flags])
        try:
            yield opened
        finally:
            await opened.close()


@contextlib.asynccontextmanager
async def tab(opened: Browser, port: int, **options: Any) -> AsyncIterator[Tab]:
    """A tab of its own, with its own cookies. At its end nothing may have been said that a person would look into."""
    context = await opened.new_context(base_url=f"http://127.0.0.1:{port}", **{"viewport": WIDE, **options})
    one = Tab(await context.new_page())
    one.page.on("console", one.hear)
    one.page.on("pageerror", lambda error: one.said.append(str(error)))
    try:
        yield one
        assert one.said == [], one.said
    finally:
        await context.close()


_TELLER: Final = """
window.told = window.told ?? {};
window.EventSource = class extends EventTarget {
  constructor(address) {
    super();
    this.readyState = 0;
    const events = Object.entries(window.told).find(([path]) => new RegExp(path).test(address))?.[1] ?? [];
    setTimeout(() => {
      this.readyState = 1;
      this.onopen?.();
      for (const [name, data] of events) {
        if (this.readyState === 1) this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
      }
    });
  }
  close() { this.readyState = 2; }
};
"""


async def tells(page: Page, path: str, events: Sequence[tuple[str, Any]]) -> None:
    """Let the event streams of these addresses, a regular expression, tell these events and then stay open."""
    await page.add_init_script(f"{_TELLER}\nwindow.told[{json.dumps(path)}] = {json.dumps(events)};")


async def answers(page: Page, pattern: str, told: Mapping[str, Any]) -> None:
    """Let an address answer this JSON."""

    async def answer(route: Route) -> None:
        await route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    await page.route(pattern, answer)
