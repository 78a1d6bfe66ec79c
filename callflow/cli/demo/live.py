"""The scenario `live`: a full-duplex model is spoken into, and then lost; the other engine goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callflow.cli.demo.story import Story
from callflow.journal import notes
from callflow.sandbox import voices
from callflow.sandbox.openai_realtime.script import Turn


SETTINGS: Final[Mapping[str, Any]] = {
    "engine": "openai_live", "fallback_engine": "openai_realtime", "engine_seconds": 4.0,
}  # fmt: skip


async def play(story: Story) -> None:
    """Ask, break in, lose the first engine, and ask again."""
    phone, expect = story.phone, story.outcome.expect
    model = story.realtime.live_sessions[0]
    await story.say("caller/hours", Turn.voice("agent/hours"))
    await phone.hears(1.5, story.seconds)
    await story.say("caller/interruption", Turn.voice("agent/tomorrow"))
    await story.until(lambda: model.interrupted, "the model to stop by itself")
    await story.until(lambda: story.cuts, "the interruption")
    expect("the caller was understood", story.was_understood(voices.TEXTS["caller/hours"]))
    await phone.hears(0.8, story.seconds)
    await phone.hears_silence(700, story.seconds)

    story.tell("line", "the full-duplex model is lost, and takes no call any more")
    story.stage.act(Turn.voice("agent/resume"))
    story.realtime.live_faults.refuse_next = -1
    model.drop()
    await story.until(lambda: story.noted(notes.EngineChosen), "the second engine")
    await story.until(lambda: story.sessions, "its session")
    await story.say("caller/thanks", Turn.voice("agent/goodbye"))
    await story.until(lambda: story.said("agent/goodbye"), "the conversation to go on")
    await phone.hears_silence(700, story.seconds)
    texts = " ".join(str(item.data.get("content")) for item in story.sessions[0].items)
    expect("the second engine was told what had been said", voices.TEXTS["caller/hours"] in texts)
    expect("nobody greeted a second time", story.count_said("agent/greeting") == 1)
    expect("nothing that we sent was refused", not model.violations)
