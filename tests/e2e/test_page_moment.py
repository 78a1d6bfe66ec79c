"""One call on the operators' page: everything of it stands at one moment, and what happened is told in words."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import msgspec

from callflow.journal.journal import JournalEntry
from callflow.web.console.live.entries import Encoder
from callflow.web.console.live.log_feed import events_in
from tests.e2e.browser import NARROW, browser, tab, tells
from tests.e2e.product import product
from tests.e2e.scenes import conversing
from tests.e2e.test_page import calm


HISTORIES = Path(__file__).parents[1] / "histories"
OVER = ("over", {"result": "completed", "cause": "normal_clearing"})


def journal(name: str) -> list[JournalEntry]:
    lines = (HISTORIES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=JournalEntry).renewed() for line in lines]


def told(entries: list[JournalEntry]) -> list[tuple[str, Any]]:
    """What viewers of such a call get."""
    encoder = Encoder("one")
    return [pair for entry in entries for pair in events_in(encoder.encode(entry))]


WORD_AT = """
words => {
  const place = [...document.querySelectorAll(".words")].find((each) => each.textContent.includes(words));
  const node = document.createTreeWalker(place, NodeFilter.SHOW_TEXT).nextNode();
  const range = new Range();
  const at = node.data.indexOf(words);
  range.setStart(node, at);
  range.setEnd(node, at + words.length);
  const { x, y, width, height } = range.getBoundingClientRect();
  return [x + width / 3, y + height / 2];
}
"""
MARKED = "() => [...CSS.highlights.get('moment-word')].map(String)"
PLAYED = """
async () => {
  const { moment } = await import(document.querySelector("script[type=module]").src.replace("app.js", "moment.js"));
  let changes = 0;
  const seen = new MutationObserver((all) => { changes += all.filter((each) => each.type === "childList").length; });
  for (const each of document.querySelectorAll("cf-transcript-frame, cf-log, cf-waterfalls")) {
    seen.observe(each, { childList: true, subtree: true });
  }
  for (let at = 0; at < 56; at += 1) {
    moment.set(at / 20, "sound");
    await new Promise(requestAnimationFrame);
  }
  await new Promise(requestAnimationFrame);
  return [changes, moment.at, location.hash];
}
"""


async def test_transcript_ladder_waits_states_and_log_stand_at_one_moment() -> None:
    async with (
        product() as the,
        browser() as opened,
        tab(opened, the.app.console_at[1], permissions=["clipboard-read", "clipboard-write"]) as it,
    ):
        await calm(it.page)
        await tells(it.page, "/events", [*told(journal("telnyx-talked")), OVER])
        await it.page.goto("/#/calls/one#t=1.25")
        await it.sees(".turn.caller[aria-current]", "When are you open on Monday?")
        assert await it.page.evaluate(MARKED) == ["open"]
        await it.sees("cf-cursor .at", "0:01.2")
        await it.sees(".node.is-now", "talking")
        await it.sees(".rung[aria-selected=true]", "caller speaks")
        await it.page.keyboard.press("ArrowRight")
        await it.sees(".rung[aria-selected=true]", "When are you open")
        await it.page.keyboard.press("ArrowLeft")
        await it.sees(".rung[aria-selected=true]", "caller speaks")
        at = await it.page.evaluate(WORD_AT, "nine")
        await it.page.mouse.click(*at)
        await it.sees(".turn.agent[aria-current]", "From nine")
        assert await it.page.evaluate(MARKED) == ["nine"]
        await it.page.click(".waits li:nth-child(2) button")
        await it.sees(".waits button[aria-current]", "252 ms")
        await it.page.click(".copy")
        await it.sees(".cursor small", "copied")
        link = await it.page.evaluate("navigator.clipboard.readText()")
        assert "#/calls/one?t=2.294" in link, link
        await it.page.click(".path li:nth-child(3) button")
        await it.sees(".log [aria-current]", "media_started")
        await it.page.click("cf-cursor .follow")
        assert await it.page.locator(".transcript [aria-current]").count() == 0
        changes, stood, address = await it.page.evaluate(PLAYED)
        assert (changes, round(stood, 2)) == (0, 2.75), "what is said is not drawn anew while sound plays"
        assert "t=2.75" not in address
        await it.page.goto("/")
        await it.page.goto(link)
        await it.sees(".waits button[aria-current]", "252 ms")


async def test_a_ladder_of_a_thousand_events_draws_those_in_view() -> None:
    begun, *rest = journal("twilio-talked")
    many = [begun]
    for number in range(60):
        many += [dataclasses.replace(each, at=each.at + 60 * number) for each in rest[:-1]]
    async with product() as the, browser() as opened, tab(opened, the.app.console_at[1], viewport=NARROW) as it:
        await calm(it.page)
        await tells(it.page, "/events", [*told(many), OVER])
        await it.page.goto("/#/calls/one")
        await it.sees(".end")
        count = await it.page.evaluate("document.querySelector('cf-ladder').story.rungs.length")
        assert count > 1000
        await it.page.focus(".ladder")
        for key, place in (("End", count), ("ArrowUp", count - 1), ("Home", 1), ("PageDown", 11)):
            await it.page.keyboard.press(key)
            await it.sees(f'.rung[aria-selected=true][aria-posinset="{place}"][aria-setsize="{count}"]')
            assert 5 < await it.page.locator(".rung").count() < 60
        for key in ("+", "+", "+", "End"):
            await it.page.keyboard.press(key)
        await it.sees(f'.rung[aria-selected=true][aria-posinset="{count}"]')
        assert await it.page.locator(".rung").count() < 200
        assert await it.is_as_wide_as_its_window()
        if folder := os.environ.get("SCREENSHOTS"):
            await it.page.screenshot(path=f"{folder}/ladder.png")


HAPPENED = """
async (journals) => {
  const { Story } = await import(document.querySelector("script[type=module]").src.replace("app.js", "story.js"));
  return journals.map((entries) => {
    const story = new Story();
    for (const entry of entries) story.take(entry);
    return story.happened.told("it was hung up", true).map((each) => each.text);
  });
}
"""
END = "It ended because it was hung up."
SENTENCES = {
    "telnyx-talked": [END],
    "telnyx-killed": [
        "The server had died or was restarted, and took the call up again; 1.2 s are missing in the journal.", END,
    ],
    "telnyx-handed": ["The server was restarted, and another process went on with the call.", END],
    "telnyx-lost": [
        "The audio was lost (the carrier closed the media socket). It was back after 1.0 s.",
        "The carrier could not open the audio (connection_lost).", END,
    ],
    "telnyx-ended": [
        "The model's session was lost (it has said nothing for 1 s). It was back after 0.0 s.",
        "The model's session was lost (it has said nothing for 1 s). It did not come back.", END,
    ],
    "twilio-talked": [END],
}  # fmt: skip


async def test_what_happened_is_told_in_words() -> None:
    async with product() as the, browser() as opened, tab(opened, the.app.console_at[1]) as it:
        await calm(it.page)
        await it.page.goto("/")
        entries = [[data for _, data in told(journal(name))] for name in SENTENCES]
        assert dict(zip(SENTENCES, await it.page.evaluate(HAPPENED, entries), strict=True)) == SENTENCES


STORY = """
async (entries) => {
  const { Story } = await import(document.querySelector("script[type=module]").src.replace("app.js", "story.js"));
  const story = new Story();
  for (const entry of entries) story.take(entry);
  const happened = story.happened.told("it had been passed on: is that right?", true).map((each) => each.text);
  return [happened, story.items.map((each) => each.text)];
}
"""
PASSED_ON: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("call_answered", "ringing", "answered", {}),
    ("media_started", "answered", "streaming", {}),
    ("call_answered", "streaming", "streaming", {"leg": "human"}),
    ("dtmf", "streaming", "transferring", {"leg": "human", "digit": "1"}),
    ("media_lost", "transferring", "transferring", {"reason": "stop frame"}),
    ("call_bridged", "bridged", "bridged", {}),
    ("call_bridged", "bridged", "bridged", {"leg": "human"}),
    ("media_lost", "bridged", "bridged", {"reason": "the carrier closed the media socket"}),
    ("call_hangup", "bridged", "hangup", {"source": "caller"}),
    ("call_hangup", "hangup", "hangup", {"leg": "human", "source": "callee"}),
)


async def test_of_a_caller_who_is_passed_on_each_leg_is_told_once_and_nothing_is_wrong() -> None:
    entries = [
        {
            "seq": at + 1, "at": at, "kind": name,
            "step": {"event": {"event": name, "leg": "caller", **more}, "before": before, "after": after},
        }
        for at, (name, before, after, more) in enumerate(PASSED_ON)
    ]  # fmt: skip
    async with product() as the, browser() as opened, tab(opened, the.app.console_at[1]) as it:
        await it.page.goto("/")
        assert await it.page.evaluate(STORY, entries) == [
            ["It ended because it had been passed on: is that right?"],
            [
                "Answered", "The person who is rung has answered", "The person who is rung presses 1",
                "The carrier ended the audio", "A person has the caller",
                "The audio was lost: the carrier closed the media socket", "Hung up by the caller",
            ],
        ]  # fmt: skip


async def test_a_call_is_replayed_and_compared_on_the_page() -> None:
    async with product() as the:
        ids = []
        for _ in range(2):
            call = await the.telnyx.ring()
            await conversing(the, call)
            ids.append(the.call.id)
            await call.hang_up()
            await the.quiet()
        async with browser() as opened, tab(opened, the.app.console_at[1]) as it:
            await it.page.goto(f"/#/calls/{ids[0]}?t=0.1&with={ids[1]}")
            await it.sees("cf-call-summary", "this version decides all")
            await it.sees("cf-call-summary", "It ended because it was hung up in the ordinary way")
            await it.sees("cf-compare .end", "The call is over")
            await it.sees("cf-compare .panel-head", "later")
            href = await it.page.get_attribute("cf-call-summary a[download]", "href")
            exported = await it.page.request.get(href or "")
            assert (await exported.json())["call"] == ids[0]
            await it.page.click("cf-compare >> text=Close the other call")
            await it.page.locator("cf-compare").wait_for(state="detached")
            await it.sees("cf-cursor .at", "0:00.1")
