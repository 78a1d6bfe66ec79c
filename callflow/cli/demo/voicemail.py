"""The scenario in which an answering machine answers a call that the line makes."""

from __future__ import annotations

from callflow.cli.demo import outbound
from callflow.cli.demo.story import Story
from callflow.contracts.events import MessageLeft
from callflow.sandbox import telnyx, twilio, voices
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime.script import Turn


_MESSAGE = outbound.OPENING
_MACHINE = Callee(does="voicemail", after_s=1.8, speaks_s=3.0)
"""It picks up, and its greeting begins when the agent is speaking."""
_DETECTION_SECONDS = 2.5


async def begin(story: Story) -> telnyx.Call | twilio.Call:
    """Let the server dial a machine, and return the leg that rings there. Raises TimeoutError."""
    story.carrier.exchange.timing.amd_s = _DETECTION_SECONDS
    words = voices.TEXTS[_MESSAGE]
    return await outbound.dial(story, _MACHINE, machineDetection=True, voicemailMessage=words)


async def play(story: Story) -> None:
    """Let the agent speak at once, and a machine over it: it beeps, and hears the message from its first word."""
    expect, phone = story.outcome.expect, story.phone
    story.stage.act(Turn.voice(_MESSAGE))
    await story.call.wait_ended(story.seconds)
    audio = voices.load(_MESSAGE)
    whole = len(audio) // 160 * 160
    message = bytes(phone.message)
    expect("the agent fell silent for the machine", any(cut.heard_ms < cut.received_ms for cut in story.cuts))
    expect("behind the beep it said the message, from the first word to the last", message[:whole] == audio[:whole])
    expect("the machine has recorded nothing else", len(message) <= len(audio) + 160)
    expect("the call ended when the message had been played", story.events(MessageLeft.name))
    expect("the server hung up", story.call.ended_by == "product")

    async def why() -> None:
        expect("what is told of its end is that a machine answered", story.cause() == "machine")

    story.afterwards = why
