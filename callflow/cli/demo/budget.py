"""The scenario in which the calls of a day have used what they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callflow.cli.demo.story import Story
from callflow.contracts import events
from callflow.media import clips
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime.script import Turn


SETTINGS: Final[Mapping[str, Any]] = {"max_daily_minutes": 0.2, "max_call_warning_seconds": 6.0}
_UNAVAILABLE: Final = "unavailable"


async def play(story: Story) -> None:
    """Let the caller be told that the time is nearly up, and hear a goodbye; the next one hears that it cannot be."""
    expect, phone = story.outcome.expect, story.phone
    await story.say("caller/hours", Turn.voice("agent/tomorrow"))
    await phone.hears(1.0, story.seconds)
    story.stage.act(Turn.voice("agent/warning"))
    await story.until(lambda: story.events(events.BudgetReached.name), "the end of what the day's calls may take")
    story.tell("line", f"{story.events(events.BudgetReached.name)[0]['why']}")
    await story.until(lambda: story.said("agent/warning"), "the agent to say so")
    expect("the agent said that the time was nearly up", story.said("agent/warning"))
    await story.call.wait_ended(story.seconds)
    expect("the call ended with a goodbye", _in(phone, "goodbye"))
    expect("the server hung up", story.call.ended_by == "product")

    sessions, second = len(story.sessions), Phone()
    story.tell("line", "the phone rings once more")
    call = await story.carrier.ring(phone=second)
    await call.wait_ended(story.seconds)
    expect("the next caller heard that it is not possible at the moment", _in(second, _UNAVAILABLE) or call.spoken)
    expect("for them no model was asked", len(story.sessions) == sessions)

    async def why() -> None:
        expect("what is told of its end is that the day's calls had used what they may", story.cause() == "budget")

    story.afterwards = why


def _in(phone: Phone, clip: str) -> bool:
    """Return whether the beginning of one of our clips came out of this telephone."""
    audio = clips.load()[clip].audio
    return audio[1600:3200] in b"".join(segment.audio for segment in phone.heard)
