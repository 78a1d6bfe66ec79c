"""The scenarios of `demo --scenario`: each makes a difficult thing happen, and checks the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from callflow.cli.arguments import SCENARIOS as STORIES
from callflow.cli.demo import budget, live, outbound, sip, transfer, voicemail
from callflow.cli.demo.story import Begin, Story
from callflow.journal import notes
from callflow.sandbox import voices
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.sandbox.openai_realtime.script import Say, Turn


TOOLS: Final = '''"""The tools of the demo."""

import asyncio


async def track_order(order: str) -> dict:
    """Find out where an order is.

    Args:
        order: its number
    """
    await asyncio.sleep(2.5)
    return {"order": order, "state": "shipped", "arrives": "Friday"}


def charge_card(amount: float) -> dict:
    """Charge the customer's card."""
    raise RuntimeError("the card terminal is on fire")


tools = [track_order, charge_card]
'''
"""Written into a `tools.py` of its own: with one tool that is slow and one that fails."""


_REFUSED: Final = 3


@dataclass(frozen=True)
class Scenario:
    """What happens in a call of the demo, and the settings and tools that it needs."""

    about: str
    play: Callable[[Story], Awaitable[None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: str = ""
    begin: Begin | None = None
    """Lets the phone ring; None: somebody calls."""
    who: str = "caller"
    """What the person at the telephone is called."""


async def interruption(story: Story) -> None:
    """Interrupt three times: while the model generates, long after it has finished, and with two sentences queued."""
    phone, expect = story.phone, story.outcome.expect
    for name, turn, after_ms in (
        ("while the model was still generating", Turn.voice("agent/hours"), 400),
        ("long after it had finished generating", Turn.voice("agent/hours"), 5000),
        ("in the second of two sentences", Turn.voice("agent/lookup", "agent/hours"), 3000),
    ):
        await story.say("caller/hours", turn)
        await phone.hears(after_ms / 1000, story.seconds + after_ms / 1000)
        before = len(story.cuts)
        await story.say("caller/interruption", Turn.voice("agent/tomorrow"), wait=False)
        await story.until(lambda before=before: len(story.cuts) > before, "the interruption")  # type: ignore[misc]
        stopped = time.monotonic()
        await phone.spoken(story.seconds)
        expect(f"interrupted {name}: silence within 0.1 s", phone.loud_ms(stopped + 0.1, stopped + 0.4) < 40)
        await phone.hears(0.8, story.seconds)
        await phone.hears_silence(700, story.seconds)
    truth = story.truncations()
    worst = max((abs(told - heard) for told, heard in truth), default=1e9)
    expect("each time the model was told how much had been heard", len(truth) >= 3 and worst <= 40)
    story.outcome.figures.append(("told to the model against heard at the telephone", f"{worst:.0f} ms apart at worst"))
    expect("the model refused nothing", not story.violations())


async def tools(story: Story) -> None:
    """Let the model call a slow tool and one that fails, and end the call after a goodbye that is heard in full."""
    phone, expect = story.phone, story.outcome.expect
    order = Turn((Say(*story.line("agent/lookup")), ToolCall("track_order", {"order": "4711"}, "call_order")))
    await story.say("caller/order", order, Turn.voice("agent/looking"), Turn.voice("agent/order"))
    await story.until(lambda: story.answers("call_order"), "the tool's answer")
    await story.until(lambda: story.answers("call_order"), "the tool's answer")
    await story.until(lambda: story.said("agent/order"), "the answer to the caller")
    await phone.hears_silence(700, story.seconds)
    expect("the agent said that it was still looking", story.said("agent/looking"))
    expect("the tool's result was spoken", story.said("agent/order"))
    expect("its call was answered exactly once", len(story.answers("call_order")) == 1)

    charge = Turn((ToolCall("charge_card", {"amount": 12.5}, "call_charge"),))
    await story.say("caller/account", charge, Turn.voice("agent/repeat"))
    await story.until(lambda: story.answers("call_charge"), "the failing tool's answer")
    expect("a tool that fails is an answer, too", "error" in story.answers("call_charge")[0])
    await phone.hears(0.5, story.seconds)
    await phone.hears_silence(700, story.seconds)

    bye = Turn((Say(*story.line("agent/goodbye")), ToolCall("end_call", {"reason": "done"}, "call_end")))
    await story.say("caller/bye", bye)
    await story.call.wait_ended(story.seconds)
    expect("the agent ended the call", story.call.ended_by == "product")
    expect("its goodbye was heard to the last word", story.heard_in_full("agent/goodbye"))


async def engine_drop(story: Story) -> None:
    """Break the model's connection in the middle of a sentence, and refuse the next ones for a while."""
    phone, expect = story.phone, story.outcome.expect
    await story.say("caller/hours", Turn.voice("agent/hours"))
    await phone.hears(0.3, story.seconds)
    story.realtime.faults.refuse_next = _REFUSED  # a call asks again in pauses of up to three seconds
    story.stage.act(Turn.voice("agent/resume"))
    dropped = time.monotonic()
    story.tell("line", f"the model's connection is cut, and the next {_REFUSED} attempts are refused")
    story.realtime.sessions[-1].drop()
    await story.until(lambda: len(story.realtime.sessions) > 1, "a new session")
    await story.until(lambda: story.said("agent/resume"), "the conversation to go on")
    await phone.hears_silence(700, story.seconds * 2)
    quiet = story.longest_silence(dropped, time.monotonic() - 0.7)
    session = story.realtime.sessions[-1]
    texts = " ".join(str(item.data.get("content")) for item in session.items)
    expect("the call went through recovering and back", story.passed("streaming", "recovering", "streaming"))
    expect("the caller was never without a sound for 3 s", quiet < 3.0)
    expect("the new session was told what had been said", voices.TEXTS["caller/hours"] in texts)
    expect("in between it heard that we are there", story.noted(notes.Filler))
    expect("nobody greeted a second time", story.count_said("agent/greeting") == 1)
    story.outcome.figures.append(("longest silence while the model was away", f"{quiet:.1f} s"))
    await story.say("caller/thanks", Turn.voice("agent/goodbye"))
    await phone.hears(0.8, story.seconds)
    expect("the conversation went on", story.said("agent/goodbye"))


async def rotation(story: Story) -> None:
    """Let the session reach its maximum age: the next one takes over, and the caller does not notice."""
    phone, expect = story.phone, story.outcome.expect
    await story.say("caller/hours", Turn.voice("agent/tomorrow"))
    await phone.hears(0.8, story.seconds)
    await phone.hears_silence(700, story.seconds)
    heard = phone.loud_ms()
    await story.until(lambda: story.noted(notes.EngineRotated), "the change of sessions")
    await asyncio.sleep(0.3)
    expect("the caller heard nothing of it", phone.loud_ms() == heard)
    expect("the new session was open before the old one was left", story.overlapped(0, 1))
    await story.say("caller/thanks", Turn.voice("agent/goodbye"))
    await phone.hears(0.8, story.seconds)
    second = story.sessions[1]
    texts = " ".join(str(item.data.get("content")) for item in second.items)
    expect("it answers, and knows what was said before", voices.TEXTS["caller/hours"] in texts and second.responses)
    expect("nobody greeted a second time", story.count_said("agent/greeting") == 1)


async def silence(story: Story) -> None:
    """Let the caller say nothing: the agent asks twice, then says goodbye."""
    expect = story.outcome.expect
    story.caller_speaks = False
    again = Turn.voice("agent/still-there")
    story.stage.act(again, again, Turn.voice("agent/silence-goodbye"))
    await story.call.wait_ended(story.seconds * 3)
    expect("the agent asked twice", story.count_said("agent/still-there") == 2)
    expect("then it said goodbye, to the last word", story.heard_in_full("agent/silence-goodbye"))
    await story.until(story.cause, "the end of the journal")
    expect("the journal says why the call ended", story.cause() == "no_input")


async def dtmf(story: Story) -> None:
    """Press digits: each counts once, the model gets them, and they are stored nowhere."""
    phone, expect = story.phone, story.outcome.expect
    await story.say("caller/account", Turn.voice("agent/number"))
    await phone.hears(1.0, story.seconds)
    await phone.hears_silence(700, story.seconds)
    story.stage.act(Turn.voice("agent/number-thanks"))
    for digit in "4711#":
        await story.call.press(digit)
        story.tell("caller", f"presses {digit}")
        await asyncio.sleep(0.15)
    await story.until(lambda: story.said("agent/number-thanks"), "the answer to the digits")
    await phone.hears_silence(700, story.seconds)
    texts = " ".join(str(item.data.get("content")) for item in story.realtime.sessions[-1].items)
    expect("the model was given the digits, each once", "4 7 1 1" in texts and "4 4" not in texts)
    expect("the agent answered them", story.said("agent/number-thanks"))
    told = story.record()
    expect("nobody who watches the call is told the digits", "4 7 1 1" not in told and '"4"' not in told)

    async def read() -> None:
        written = await story.written()
        held = [name for name, content in written.items() if b"4 7 1 1" in content or b"4711#" in content]
        expect("the digits stand on no record", written and not held)

    story.afterwards = read


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "interruption": Scenario(STORIES["interruption"], interruption),
    "tools": Scenario(STORIES["tools"], tools, {"tool_filler_after_ms": 800}, TOOLS),
    "engine-drop": Scenario(STORIES["engine-drop"], engine_drop, {"engine_seconds": 12.0}),
    "live": Scenario(STORIES["live"], live.play, live.SETTINGS),
    "rotation": Scenario(STORIES["rotation"], rotation, {"session_seconds": 6.0}),
    "silence": Scenario(STORIES["silence"], silence, {"no_input_seconds": 1.5}),
    "dtmf": Scenario(STORIES["dtmf"], dtmf, {"dtmf_sensitive": True}),
    "voicemail": Scenario(STORIES["voicemail"], voicemail.play, outbound.SETTINGS, begin=voicemail.begin, who="callee"),
    "outbound": Scenario(STORIES["outbound"], outbound.play, outbound.SETTINGS, begin=outbound.begin, who="callee"),
    "budget": Scenario(STORIES["budget"], budget.play, budget.SETTINGS),
    "sip": Scenario(STORIES["sip"], sip.play, sip.SETTINGS, begin=sip.begin),
    "transfer": Scenario(STORIES["transfer"], transfer.play, transfer.SETTINGS),
}


def tools_file(folder: Path, scenario: Scenario | None) -> str:
    """Write the scenario's tools, if it has any. Returns the path of the file, which may not exist."""
    path = folder / "tools.py"
    if scenario is not None and scenario.tools:
        path.write_text(scenario.tools, encoding="utf-8")
    return str(path)
