"""The scenario in which the caller is connected with a person, and comes back to the agent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from callflow.cli.demo.story import Story
from callflow.sandbox import telnyx, twilio, voices
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.sandbox.openai_realtime.script import Say, Turn
from callflow.sandbox.telnyx.exchange import CONNECTION_ID


SALES: Final = "+15550100010"
SUMMARY: Final = "A caller who wants to ask about an account."
SETTINGS: Final[Mapping[str, Any]] = {
    "telnyx_connection_id": CONNECTION_ID,
    "transfer_targets": f"sales = {SALES}",
    "vad_silence_ms": 300,
}


async def play(story: Story) -> None:
    """Have the agent's tool ring sales: they accept with a key, talk with the caller, and hang up; the agent goes
    on."""
    phone, expect = story.phone, story.outcome.expect
    exchange = story.carrier.exchange
    exchange.callees[SALES] = Callee(ring_s=1.5, presses="1")
    calls: Mapping[str, Any] = story.carrier.calls

    wish = {"destination": "sales", "summary": SUMMARY}
    rings = Turn((ToolCall("transfer_call", wish, "call_transfer"),))
    await story.say("caller/sales", rings, Turn.voice("agent/connecting"))
    await story.until(lambda: len(calls) > 1, "the telephone in sales to ring")
    person: telnyx.Call | twilio.Call = list(calls.values())[-1]
    story.tell("sales", "the telephone rings")
    await story.until(lambda: person.spoken, "sales to be told who calls")
    story.tell("sales", f"hears: {person.spoken[0]}")
    await story.until(lambda: story.passed("transferring", "bridged"), "the two to be joined")
    story.tell("sales", "presses 1, and talks with the caller")
    expect("sales was told who calls, and why", SUMMARY in " ".join(person.spoken))

    heard = person.phone.loud_ms()
    phone.say(voices.load("caller/account"))
    await story.until(lambda: person.phone.loud_ms() > heard + 500, "sales to hear the caller")
    expect("sales heard the caller", True)
    sessions = len(story.sessions)
    await phone.spoken(story.seconds)
    expect("the agent did not hear what they said", len(story.sessions) == sessions)

    story.stage.act(Turn.voice("agent/back"))
    left = time.monotonic()
    story.tell("sales", "hangs up")
    await person.hang_up()
    await story.until(lambda: story.said("agent/back"), "the agent to take the caller back")
    await phone.hears_silence(700, story.seconds)
    expect("the agent took the caller back", story.passed("bridged", "recovering", "streaming"))
    expect("nobody greeted a second time", story.count_said("agent/greeting") == 1)
    quiet = story.longest_silence(left, time.monotonic() - 0.7)
    story.outcome.figures.append(("silence until the agent was back", f"{quiet:.1f} s"))
    told = " ".join(str(item.data.get("content")) for item in story.sessions[-1].items)
    expect("the agent knows that a person spoke, and how long", "has talked with sales for" in told.lower())

    bye = Turn((Say(*story.line("agent/goodbye")), ToolCall("end_call", {"reason": "done"}, "call_end")))
    await story.say("caller/thanks", bye)
    await story.call.wait_ended(story.seconds)
    expect("the agent ended the call", story.call.ended_by == "product")
    expect("no leg was left", all(call.ended_at is not None for call in calls.values()))
