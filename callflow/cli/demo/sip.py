"""The scenario in which the call comes over OpenAI's SIP: its audio never comes to the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callflow.cli.demo.story import Story
from callflow.journal import notes
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.sandbox.openai_realtime.script import Say, Turn
from callflow.sandbox.openai_realtime.sip import PROJECT, SECRET, SipCall


SETTINGS: Final[Mapping[str, Any]] = {"openai_webhook_secret": SECRET, "openai_project_id": PROJECT}


async def begin(story: Story) -> SipCall:
    """Let the telephone ring the project, and return the call."""
    return await story.realtime.sip.ring(phone=story.phone)


async def play(story: Story) -> None:
    """Let the caller break in, the socket beside the call break unheard, and a tool answer; the agent ends the call."""
    phone, expect = story.phone, story.outcome.expect
    call = story.call
    assert isinstance(call, SipCall)
    expect("the accept held the whole session", {"instructions", "tools", "model"} <= call.commands[0][1].keys())
    await story.say("caller/hours", Turn.voice("agent/hours"))
    await phone.hears(1.0, story.seconds)
    cuts = len(story.noted(notes.Interrupted))
    await story.say("caller/interruption", Turn.voice("agent/tomorrow"), wait=False)
    await story.until(lambda: len(story.noted(notes.Interrupted)) > cuts, "the interruption")
    told = story.noted(notes.Interrupted)[-1].cuts[-1]
    expect("OpenAI said how much of the answer was heard", told.heard_ms >= 1000)
    story.outcome.figures.append(("heard of the answer that was cut off", f"{told.heard_ms} ms, as OpenAI says"))
    await phone.spoken(story.seconds)
    await phone.hears(0.5, story.seconds)

    heard, session = phone.loud_ms(), story.sessions[-1]
    sockets = session.opened
    story.tell("line", "the socket beside the call is cut")
    session.drop()
    await story.until(lambda: session.opened > sockets and session.has_sideband, "another socket beside the call")
    await phone.hears(0.5, story.seconds)
    expect("the agent spoke on meanwhile", phone.loud_ms() > heard)
    expect("nobody greeted a second time", story.count_said("agent/greeting") == 1)
    await phone.hears_silence(700, story.seconds)

    bye = Turn((Say(*story.line("agent/goodbye")), ToolCall("end_call", {"reason": "done"}, "call_end")))
    await story.say("caller/thanks", bye)
    await call.wait_ended(story.seconds)
    expect("the agent ended the call", call.ended_by == "product")
    expect("its goodbye was heard to the last word", story.heard_in_full("agent/goodbye"))
    expect("the call was accepted once, and hung up once", call.count("accept") == call.count("hangup") == 1)
    expect("the model refused nothing", not story.violations())
