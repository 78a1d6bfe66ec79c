"""The cluster on the health page: which nodes serve, how full each is, and letting one drain."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from playwright.async_api import Page, Route

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import Node, State, View
from callflow.web.console.nodes import describe
from tests.e2e.browser import NARROW, Tab, browser, tab
from tests.e2e.operators_port import TOKEN
from tests.e2e.product import product
from tests.e2e.test_page import calm


SHOTS = os.environ.get("SHOTS", "")
NOW = 1_795_648_500.0


def node(name: str, epoch: int, **more: Any) -> Node:
    usual = {"capacity": 40, "lag_ms": 1.25, "lease_until": NOW + 2.8, "started_at": NOW - 3600}
    return Node(name=name, epoch=epoch, **{**usual, **more})


@dataclass
class Cluster:
    """Nodes, told as the server tells them, and what the page has asked of them."""

    nodes: list[Node]
    asked: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        known = SimpleNamespace(view=View(tuple(self.nodes), NOW), me="east", trouble="", unserved={})
        return describe(cast(Membership, known))

    async def stands_behind(self, page: Page) -> None:
        async def answer(route: Route) -> None:
            way = route.request.url.split("/api/nodes")[1]
            if not way:
                await route.fulfill(json=self.told())
                return
            self.asked.append(way)
            _, name, verb = way.split("/")
            state: State = "draining" if verb == "drain" else "up"
            self.nodes = [replace(each, state=state) if each.name == name else each for each in self.nodes]
            (one,) = [each for each in self.told()["nodes"] if each["name"] == name]
            await route.fulfill(json={"node": one, "warnings": ["A warning of the server."]})

        await page.route("**/api/nodes**", answer)


async def enter(it: Tab, token: str) -> None:
    await calm(it.page)
    await it.page.goto("/#/health")
    await it.page.fill("input[name=token]", token)
    await it.page.keyboard.press("Enter")
    await it.sees("#health-summary")


async def shot(it: Tab, name: str) -> None:
    if SHOTS:
        await it.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.mark.one_node("it has nodes of its own")
async def test_the_health_page_shows_the_nodes_and_lets_one_drain() -> None:
    the_cluster = Cluster([node("east", 1, calls=12), node("west", 2, calls=38, lag_ms=140)])
    async with product(console_token=TOKEN, console_tokens=f"op:operate:{TOKEN}-2") as the, browser() as opened:
        async with tab(opened, the.app.console_at[1]) as it:
            async with it.page.expect_response("**/api/nodes") as lone:
                await enter(it, TOKEN)
            assert (await (await lone.value).json())["nodes"] == []
            assert await it.page.locator("#nodes-title").count() == 0  # who serves alone sees nothing of it
            await the_cluster.stands_behind(it.page)
            await it.page.reload()
            await it.sees("#nodes-summary", "2 of 2 nodes take calls · 50 calls, room for 80")
            await it.sees("[data-node=east]", "12 of 40 calls")
            await it.sees("[data-node=east]", "leads")
            await it.sees("[data-node=west] .late", "lag 140 ms")
            assert await it.page.locator("[data-node=west] rect").get_attribute("width") == "95.0"
            await shot(it, "nodes")

            await it.page.get_by_role("button", name="Drain west").press("Enter")
            await it.sees("dialog[open]", "38 calls over to the other nodes")
            await it.page.keyboard.press("Escape")
            await it.page.locator("dialog[open]").wait_for(state="detached")
            assert the_cluster.asked == []
            await it.page.get_by_role("button", name="Drain west").click()
            await shot(it, "dialog")
            await it.page.click("dialog button.danger")
            await it.sees("[data-node=west] .mark", "draining")
            await it.sees(".warned", "A warning of the server.")
            await it.sees("#nodes-summary", "1 of 2 nodes takes calls · 50 calls, room for 40")
            await it.page.get_by_role("button", name="Resume west").click()
            await it.page.click("dialog button.primary")
            await it.sees("[data-node=west] .mark", "up")
            assert the_cluster.asked == ["/west/drain", "/west/resume"]

            the_cluster.nodes[1] = node("west", 2, calls=38, lease_until=NOW - 0.5)
            await it.sees("[data-node=west] .mark", "silent")  # the page asks again by itself
            the_cluster.nodes[1] = node("west", 2, state="dead")
            await it.sees("[data-node=west]", "The others take its calls.")
            assert await it.page.locator("[data-node=west] button").count() == 0
            await it.page.get_by_role("button", name="Drain east").click()
            await it.sees("dialog[open]", "its calls stay where they are")
        async with tab(opened, the.app.console_at[1], viewport=NARROW, color_scheme="dark") as it:
            the_cluster.nodes.append(node("a-name-of-thirty-two-letters-w12", 3, calls=7, state="draining"))
            await the_cluster.stands_behind(it.page)
            await enter(it, f"{TOKEN}-2")
            await it.sees("[data-node=east]")
            assert await it.is_as_wide_as_its_window()
            assert await it.page.locator("cf-nodes button").count() == 0  # an operator looks on
            await shot(it, "narrow")
